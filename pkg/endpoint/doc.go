// Package endpoint is typed request and reply over NATS micro: methods that a
// service serves and others call, with errors that keep their code on the way.
//
// A [Method] is declared once, in the service's api package, and says everything
// others can see of it: subject, request and response type, HTTP route.
//
//	var Confirm = endpoint.Method[ConfirmRequest, Order]{
//		Service: "order", Name: "confirm", Description: "Confirm a pending order.",
//		HTTP: "POST /v1/orders/{id}/confirm", Idempotent: true,
//	}
//
// The service serves it:
//
//	endpoint.Serve(nc, endpoint.ServiceConfig{Name: "order", Version: "1.0.0", Log: log},
//		endpoint.Handle(orderapi.Confirm, h.confirm))
//
// and others, or `nats req svc.order.confirm '{"id":"…"}'`, call it:
//
//	order, err := endpoint.Call(ctx, caller, orderapi.Confirm, orderapi.ConfirmRequest{ID: id})
//	if endpoint.CodeOf(err) == endpoint.CodeConflict { … }
//
// A handler is a plain function. Before it runs, the request is decoded strictly
// and validated by its struct tags (github.com/go-playground/validator) and its
// Validate method; the context carries the caller's deadline, trace and
// [event.Metadata]. After it, a returned [*Error] crosses the wire as it is, and
// any other error is logged here and reads "internal" there.
//
// Requests of one endpoint run concurrently, up to a bound; beyond it they queue, up
// to a bound, and beyond that they are refused as unavailable. A call may reach its
// service and the reply may be lost: only repeat what is Idempotent.
//
// A caller whose context is cancelled tells the service, on svc.order.requests.cancel:
// the handler's context ends, and a request that was still queued never runs. Who may
// call svc.order.> therefore needs to publish to svc.order.requests.*.
//
// A [Stream] answers with many items, as they come and no faster than they are read:
//
//	endpoint.HandleStream(orderapi.Export, h.export) // func(ctx, ExportRequest) iter.Seq2[Order, error]
//
//	for order, err := range endpoint.CallStream(ctx, caller, orderapi.Export, orderapi.ExportRequest{}) { … }
//
// Timeouts, repeats and circuit breakers are policies of sluice/pkg/resilience:
//
//	policies, err := resilience.NewSet(map[string]resilience.Config{"user": {Timeout: 2 * time.Second}}, endpoint.Hooks(log))
//	caller = caller.With(policies)
package endpoint
