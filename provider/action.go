package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/action"
	aschema "github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"

	"github.com/zkboot/zkboot/bootstrap"
)

// aboutEnsemble is the schema of an action that takes what zkboot_ensemble has, and its own.
func aboutEnsemble(ctx context.Context, m managed, own map[string]aschema.Attribute) aschema.Schema {
	s := aschema.Schema{Attributes: own}
	for name, is := range m.schema(ctx).Attributes {
		if _, ok := m.place(name); ok {
			s.Attributes[name] = forAction(is)
		}
	}
	return s
}

// configureAction gives an action what the provider block says.
func configureAction(m *managed, req action.ConfigureRequest, resp *action.ConfigureResponse) {
	if req.ProviderData == nil {
		return
	}
	var ok bool
	if m.site, ok = req.ProviderData.(*site); !ok {
		resp.Diagnostics.AddError("zkboot", fmt.Sprintf("the provider handed over a %T; this is a fault of zkboot", req.ProviderData))
	}
}

// tellProgress shows whoever waits for an action what the engine does.
func tellProgress(eng *bootstrap.Engine, resp *action.InvokeResponse) {
	logged := eng.Events
	eng.Events = func(ev bootstrap.Event) {
		logged(ev)
		if ev.Kind == bootstrap.EventStarted || ev.Kind == bootstrap.EventNote {
			resp.SendProgress(action.InvokeProgressEvent{Message: strings.TrimPrefix(ev.Host+": "+ev.Step, ": ")})
		}
	}
}

// errorsAlone tells warnings as progress where an action has failed: Terraform 1.14.3 shows
// all that a failed action has to say as problems of one error, warnings among them.
func errorsAlone(resp *action.InvokeResponse) {
	if !resp.Diagnostics.HasError() {
		return
	}
	for _, w := range resp.Diagnostics.Warnings() {
		text, _, _ := strings.Cut(w.Detail(), "\n\n") // without what to do next
		resp.SendProgress(action.InvokeProgressEvent{Message: "warning: " + w.Summary() + ": " + text})
	}
	resp.Diagnostics = resp.Diagnostics.Errors()
}

// forAction is an attribute of a resource as one that an action takes.
func forAction(a schema.Attribute) aschema.Attribute {
	all := func(in map[string]schema.Attribute) map[string]aschema.Attribute {
		out := map[string]aschema.Attribute{}
		for name, a := range in {
			out[name] = forAction(a)
		}
		return out
	}
	about := a.GetMarkdownDescription()
	switch a := a.(type) {
	case schema.BoolAttribute:
		return aschema.BoolAttribute{Required: a.Required, Optional: a.Optional, MarkdownDescription: about}
	case schema.Int64Attribute:
		return aschema.Int64Attribute{Required: a.Required, Optional: a.Optional, MarkdownDescription: about}
	case schema.ListAttribute:
		return aschema.ListAttribute{Required: a.Required, Optional: a.Optional, ElementType: a.ElementType, MarkdownDescription: about}
	case schema.MapAttribute:
		return aschema.MapAttribute{Required: a.Required, Optional: a.Optional, ElementType: a.ElementType, MarkdownDescription: about}
	case schema.SingleNestedAttribute:
		return aschema.SingleNestedAttribute{Required: a.Required, Optional: a.Optional, Attributes: all(a.Attributes), MarkdownDescription: about}
	case schema.MapNestedAttribute:
		return aschema.MapNestedAttribute{Required: a.Required, Optional: a.Optional, MarkdownDescription: about,
			NestedObject: aschema.NestedAttributeObject{Attributes: all(a.NestedObject.Attributes)}}
	}
	is, _ := a.(schema.StringAttribute) // a test compares the types, so that no other kind gets here unseen
	return aschema.StringAttribute{Required: is.Required, Optional: is.Optional, Validators: is.Validators, MarkdownDescription: about}
}
