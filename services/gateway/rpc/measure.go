package rpc

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

const (
	// otherMethod is what OpenTelemetry calls a method that nobody knows.
	otherMethod = "_OTHER"
	// failedUnread is the error.type of a call that ends before it is one: its message
	// can't be read, or its method does not exist.
	failedUnread = "UNREAD"
)

// called is what becomes known of a call while it is carried out.
type called struct {
	mu     sync.Mutex
	known  bool
	status connect.Code // 0: it is well
}

type calledKey struct{}

// ended notes how a call has ended.
func ended(ctx context.Context, status connect.Code) {
	if c, ok := ctx.Value(calledKey{}).(*called); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.known, c.status = true, status
	}
}

func (c *called) outcome() (status, failure string, fault bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.known:
		return "", failedUnread, false
	case c.status == 0:
		return "OK", "", false
	}
	status = statusName(c.status)
	switch c.status {
	case connect.CodeUnknown, connect.CodeDeadlineExceeded, connect.CodeUnimplemented, connect.CodeInternal, connect.CodeUnavailable, connect.CodeDataLoss:
		return status, status, true
	default:
		return status, status, false
	}
}

// statusName returns a code as gRPC writes it.
func statusName(c connect.Code) string {
	if c == connect.CodeCanceled {
		return "CANCELLED"
	}
	return strings.ToUpper(c.String())
}

// measured gives the calls of a service their span, which is that of the HTTP request,
// and measures them as endpoints are.
func (cfg Config) measured(service string, h http.Handler) http.Handler {
	known := methods(service)
	duration, err := cfg.Meters.Meter("sluice/services/gateway/rpc").Float64Histogram("rpc.server.call.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from the arrival of a request to its answer."),
		metric.WithExplicitBucketBoundaries(.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
	if err != nil {
		otel.Handle(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		began, call := time.Now(), &called{}
		h.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), calledKey{}, call)))
		method := strings.TrimPrefix(req.URL.Path, "/")
		if !known[method] {
			method = otherMethod
		}
		status, failure, fault := call.outcome()
		of := []attribute.KeyValue{attribute.String("rpc.system.name", system(req)), attribute.String("rpc.method", method)}
		if status != "" {
			of = append(of, attribute.String("rpc.response.status_code", status))
		}
		if failure != "" {
			of = append(of, attribute.String("error.type", failure))
		}
		duration.Record(req.Context(), time.Since(began).Seconds(), metric.WithAttributes(append(of, attribute.String("sluice.service", "gateway"))...))
		span := trace.SpanFromContext(req.Context())
		if !span.IsRecording() {
			return
		}
		span.SetAttributes(of...)
		if method != otherMethod {
			span.SetName(method)
		}
		if fault {
			span.SetStatus(codes.Error, failure)
		}
	})
}

// methods returns the methods of a service, "sluice.user.v1.UserService/Get".
func methods(service string) map[string]bool {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		panic("rpc: " + err.Error()) // its code is in gen
	}
	all := make(map[string]bool)
	s, _ := d.(protoreflect.ServiceDescriptor)
	for i := range s.Methods().Len() {
		all[service+"/"+string(s.Methods().Get(i).Name())] = true
	}
	return all
}

// system tells which protocol a call uses, as OpenTelemetry names it.
func system(req *http.Request) string {
	if strings.HasPrefix(req.Header.Get("Content-Type"), "application/grpc") {
		return "grpc"
	}
	return "connectrpc"
}
