package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// Positions of the arguments of zoo_cfg.
const (
	zooName = iota
	zooSettings
)

// renderer is a role that says what it would write on a host, as the ensemble's does.
type renderer interface {
	Files(s *bootstrap.Spec, host string, facts bootstrap.Facts) (zooCfg, unit, drop []byte, err error)
}

// zooCfgFunction is zoo_cfg.
func (p *Provider) zooCfgFunction() function.Function {
	return &pureFunction{name: "zoo_cfg", run: p.runZooCfg, definition: function.Definition{
		Summary: "The zoo.cfg that zkboot writes for an ensemble.",
		MarkdownDescription: "Renders zoo.cfg as zkboot writes it on every member of an ensemble that is installed with apt: its own values and what is set here. " +
			"Settings are judged as those of `zkboot_ensemble` are: a key that zkboot does not know, or that it does not let one set, is an error, where ZooKeeper " +
			"would take it for a system property and say nothing.\n\n" +
			"`@ZKBOOT_SUPER@` stands where a member has the digest of a secret of its own, which never leaves it. Members installed from a release " +
			"archive have the lines of the Prometheus provider as well, with their own address.",
		Parameters: []function.Parameter{
			function.StringParameter{Name: "name", MarkdownDescription: "Name of the ensemble; its directories carry it."},
		},
		VariadicParameter: function.MapParameter{Name: "settings", ElementType: types.StringType,
			MarkdownDescription: "Settings by their own names, such as `tickTime`, as in `config` of `zkboot_ensemble`. Of several maps the later wins; " +
				"null stands for zkboot's own value."},
		Return: function.StringReturn{},
	}}
}

func (p *Provider) runZooCfg(ctx context.Context, args function.ArgumentsData) (any, *function.FuncError) {
	var name string
	var settings []map[string]*string
	if err := args.Get(ctx, &name, &settings); err != nil {
		return nil, err
	}
	role, ok := p.Ensemble.(renderer)
	if !ok {
		return nil, function.NewFuncError(fmt.Sprintf("%T renders no files; this is a fault of zkboot", p.Ensemble))
	}
	config, from := map[string]string{}, map[string]int{}
	for i, m := range settings {
		for key, value := range m {
			if from[key] = i; value != nil {
				config[key] = *value
			} else {
				delete(config, key)
			}
		}
	}
	s, host := sample(name, config)
	report := (&bootstrap.Engine{Roles: []bootstrap.Role{p.Ensemble}}).Validate(s)
	if err := functionError(report, from); err != nil {
		return nil, err
	}
	// Files wants to know the distribution, on which zoo.cfg does not depend.
	text, _, _, err := role.Files(s, host, bootstrap.Facts{OS: verify.OS{ID: "debian", VersionID: "12", Codename: "bookworm"}, Arch: "amd64"})
	if err != nil {
		return nil, function.NewFuncError(fmt.Sprintf("rendering zoo.cfg: %v", err))
	}
	return string(text), nil
}

// sample is a spec of an ensemble with one member: what is the same on every member can be
// rendered for any.
func sample(name string, config map[string]string) (s *bootstrap.Spec, host string) {
	host = "zk1"
	return &bootstrap.Spec{
		Name:  name,
		Hosts: map[string]bootstrap.HostSpec{host: {Address: "127.0.0.1"}},
		Ensemble: &bootstrap.Ensemble{Members: map[string]bootstrap.Member{host: {ID: 1}}, Config: config,
			Source: bootstrap.Source{Apt: &bootstrap.AptPackages{}}},
	}, host
}

// functionError turns the errors of a report into one, at the argument that the first of
// them is about. from says which of the settings a key came from.
func functionError(r bootstrap.Report, from map[string]int) *function.FuncError {
	var out *function.FuncError
	for _, f := range r.Findings {
		if f.Severity != bootstrap.SeverityError {
			continue
		}
		text := f.Text
		if f.Hint != "" {
			text += "\n\nNext: " + f.Hint
		}
		err := function.NewFuncError(fmt.Sprintf("%s: %s", f.Path, text))
		steps, _ := split(f.Path) // a path that cannot be read is none of an argument
		switch {
		case len(steps) == 1 && steps[0].field == "name":
			err = function.NewArgumentFuncError(zooName, text)
		case len(steps) == 3 && steps[1].field == "config":
			key := steps[2].key
			text = fmt.Sprintf("settings[%q]: %s", key, text)
			if i, given := from[key]; given {
				err = function.NewArgumentFuncError(int64(zooSettings+i), text)
			} else {
				err = function.NewFuncError(text)
			}
		}
		out = function.ConcatFuncErrors(out, err)
	}
	return out
}
