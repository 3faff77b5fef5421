package notification

import (
	"context"
	"errors"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/services/notification/notificationapi"
)

type handlers struct {
	view *projection.View[notificationapi.Notification]
}

func (h handlers) list(ctx context.Context, req notificationapi.ListRequest) (notificationapi.ListResponse, error) {
	index := byTime
	if req.UserID != "" {
		if err := event.CheckID(req.UserID); err != nil {
			return notificationapi.ListResponse{}, endpoint.Invalid("the user id is malformed", endpoint.FieldError{Field: "user_id", Message: "is malformed"}).Because(err)
		}
		index = byUser + "." + req.UserID
	}
	if err := h.view.Await(ctx); err != nil {
		return notificationapi.ListResponse{}, err
	}
	items, next, err := h.view.List(ctx, index, req.Cursor, req.Limit)
	if errors.Is(err, projection.ErrCursor) {
		return notificationapi.ListResponse{}, endpoint.Invalid("the cursor is malformed", endpoint.FieldError{Field: "cursor", Message: "is malformed"})
	}
	return notificationapi.ListResponse{Items: items, Next: next}, err
}
