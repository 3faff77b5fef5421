package registry

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/services/registry/registryapi"
)

// byAlert is the index of all alerts that are raised.
const byAlert = "by-id"

// projectAlert keeps each alert while it is raised.
func projectAlert(tx *projection.Tx[registryapi.Alert], e event.Event, data event.Data) error {
	a, _, err := tx.Get(e.Subject)
	if err != nil {
		return err
	}
	if a = applyAlert(a, e, data); a.RaisedAt.IsZero() {
		tx.Delete(e.Subject)
		tx.Unindex(byAlert + "." + e.Subject)
		return nil
	}
	tx.Index(byAlert+"."+e.Subject, e.Subject)
	tx.Put(e.Subject, a)
	return nil
}

// listAlerts returns every alert that is raised.
func listAlerts(ctx context.Context, view *projection.View[registryapi.Alert]) ([]registryapi.Alert, error) {
	const page = 1000
	var all []registryapi.Alert
	for cursor := ""; ; {
		items, next, err := view.List(ctx, byAlert, cursor, page)
		if err != nil {
			return nil, fmt.Errorf("list alerts: %w", err)
		}
		all = append(all, items...)
		if next == "" {
			return all, nil
		}
		cursor = next
	}
}

// alertPlace is where an alert stands in the list, in digits that sort.
func alertPlace(a registryapi.Alert) string {
	return fmt.Sprintf("%020d.%s", a.RaisedAt.UnixNano(), a.ID)
}

// alerts reads all alerts to return a page of them: it is meant for hundreds.
func (h handlers) alerts(ctx context.Context, req registryapi.AlertsRequest) (registryapi.AlertsResponse, error) {
	before, err := base64.RawURLEncoding.Strict().DecodeString(req.Cursor)
	if err != nil {
		return registryapi.AlertsResponse{}, endpoint.Invalid("the cursor is malformed", endpoint.FieldError{Field: "cursor", Message: "is malformed"})
	}
	if err := h.raised.Await(ctx); err != nil {
		return registryapi.AlertsResponse{}, err
	}
	all, err := listAlerts(ctx, h.raised)
	if err != nil {
		return registryapi.AlertsResponse{}, err
	}
	slices.SortFunc(all, func(a, b registryapi.Alert) int { return cmp.Compare(alertPlace(b), alertPlace(a)) })
	if len(before) > 0 {
		all = slices.DeleteFunc(all, func(a registryapi.Alert) bool { return alertPlace(a) >= string(before) })
	}
	limit := cmp.Or(req.Limit, defaultPage)
	page := registryapi.AlertsResponse{Items: slices.Concat([]registryapi.Alert{}, all[:min(limit, len(all))])}
	if len(all) > limit {
		page.Next = base64.RawURLEncoding.EncodeToString([]byte(alertPlace(all[limit-1])))
	}
	return page, nil
}
