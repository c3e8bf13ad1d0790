package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/zkboot/zkboot/sysctl"
)

// sysctlPresetFunction is sysctl_preset.
func sysctlPresetFunction() function.Function {
	return &pureFunction{name: "sysctl_preset", run: runSysctlPreset, definition: function.Definition{
		Summary: "Kernel settings of a preset, by key.",
		MarkdownDescription: "Returns the kernel settings that zkboot wants on a host, by key, such as `vm.swappiness`: those for a host that does nothing else. " +
			"zkboot applies them by itself; this function is for images and hosts that are tuned by other means.\n\n" +
			"zkboot never lowers `fs.file-max`, `fs.nr_open`, `net.core.somaxconn`, `net.ipv4.tcp_max_syn_backlog` and `net.ipv4.tcp_fin_timeout` and keeps the " +
			"ports that were reserved before; whoever writes the values to a host should do the same.",
		Parameters: []function.Parameter{
			function.StringParameter{Name: "name", MarkdownDescription: "`zookeeper` for a member of an ensemble, `sidecar` for an application host."},
		},
		Return: function.MapReturn{ElementType: types.StringType},
	}}
}

func runSysctlPreset(ctx context.Context, args function.ArgumentsData) (any, *function.FuncError) {
	var name string
	if err := args.Get(ctx, &name); err != nil {
		return nil, err
	}
	settings, err := sysctl.Preset(name)
	if err != nil {
		return nil, function.NewArgumentFuncError(0, err.Error())
	}
	out := map[string]string{}
	for _, s := range settings {
		if s.Rule != sysctl.Leave {
			out[s.Key] = s.Value
		}
	}
	return out, nil
}
