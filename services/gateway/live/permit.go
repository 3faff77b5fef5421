package live

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
)

// permit returns nil when the caller may see all that is wanted: operators and services
// everything, others the aggregates that their owning service shows them.
func (h *Handler) permit(ctx context.Context, wanted selection) error {
	if auth.From(ctx).Is(auth.Operator) {
		return nil
	}
	for _, entity := range wanted.entities() {
		named, ok := ids(wanted[entity])
		if !ok {
			return endpoint.Forbidden("only an operator may see everybody's events: name an id, as in " + entity + ".*.<id>")
		}
		get := h.histories[entity].Get
		if get.Subject == "" {
			return endpoint.Forbidden("only an operator may see events of this kind: " + entity)
		}
		for _, id := range named {
			if err := h.shown(ctx, get, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// shown asks the owning service, in the name of the caller, for an aggregate. What is
// not there reads the same as what belongs to somebody else.
func (h *Handler) shown(ctx context.Context, get endpoint.Spec, id string) error {
	body, err := json.Marshal(map[string]string{"id": id})
	if err != nil {
		return fmt.Errorf("ask who may see an event: %w", err)
	}
	_, err = h.cfg.Caller.Forward(ctx, get, nil, body)
	switch endpoint.CodeOf(err) {
	case "":
		return nil
	case endpoint.CodeForbidden, endpoint.CodeNotFound, endpoint.CodeInvalid:
		return endpoint.Forbidden("you may see events of what is yours only").Because(err)
	default:
		return fmt.Errorf("ask who may see an event: %w", err)
	}
}
