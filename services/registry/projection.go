package registry

import (
	"context"
	"fmt"

	"sluice/pkg/event"
	"sluice/pkg/projection"
)

// byName is the index of all services.
const byName = "by-name"

// project keeps each service that has instances under its name.
func project(tx *projection.Tx[service], e event.Event, data event.Data) error {
	s, there, err := tx.Get(e.Subject)
	if err != nil {
		return err
	}
	s = apply(s, e, data)
	switch {
	case len(s.Instances)+len(s.Running) == 0:
		tx.Delete(e.Subject)
		tx.Unindex(byName + "." + e.Subject)
		return nil
	case !there:
		tx.Index(byName+"."+e.Subject, e.Subject)
	}
	tx.Put(e.Subject, s)
	return nil
}

// listAll returns every service that has instances.
func listAll(ctx context.Context, view *projection.View[service]) ([]service, error) {
	const page = 1000
	var all []service
	for cursor := ""; ; {
		items, next, err := view.List(ctx, byName, cursor, page)
		if err != nil {
			return nil, fmt.Errorf("list services: %w", err)
		}
		all = append(all, items...)
		if next == "" {
			return all, nil
		}
		cursor = next
	}
}
