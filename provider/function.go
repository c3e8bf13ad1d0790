package provider

import (
	"context"
	"net/netip"
	"regexp"

	"github.com/hashicorp/terraform-plugin-framework/function"
)

// pureFunction is a function that Terraform can call by provider::zkboot::NAME, from 1.8 on.
// It reaches no host and needs no provider block.
type pureFunction struct {
	name       string
	definition function.Definition
	run        func(context.Context, function.ArgumentsData) (any, *function.FuncError)
}

var _ function.Function = (*pureFunction)(nil)

// Metadata implements function.Function.
func (f *pureFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = f.name
}

// Definition implements function.Function.
func (f *pureFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = f.definition
}

// Run implements function.Function. Terraform does not call it while an argument, or a part
// of one, is not known.
func (f *pureFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	result, err := f.run(ctx, req.Arguments)
	if err == nil {
		err = resp.Result.Set(ctx, result)
	}
	resp.Error = err
}

// hostRE is a host name of RFC 1123.
var hostRE = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$`)

// isHost reports whether text is an IP address, without brackets, or a host name.
func isHost(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil || hostRE.MatchString(text)
}

func isPort(n int64) bool { return n >= 1 && n <= 65535 }
