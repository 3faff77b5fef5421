// Package telemetry carries the story of a request between processes and into the
// log, and out of the process: W3C trace context in NATS headers and in events, trace
// and correlation ids on every log line, and traces, metrics and logs to a collector.
//
// The ids travel in the context. [Extract] and [Inject] are for messages, [FromEvent]
// is for handlers of stored events, and [TraceParent] is what an event to be stored
// records. The correlation id is part of [event.Metadata].
//
//	ctx = telemetry.Extract(ctx, msg.Header)
//	ctx, span := telemetry.Start(ctx, "svc.order.create")
//	defer span.End()
//	log.InfoContext(ctx, "order created") // … trace_id=4bf9… correlation_id=0193…
//
// [Setup] is called once, by the program. Without it contexts are still handed on,
// but no new ids are made.
//
// # Leaving the process
//
// Nothing does until OpenTelemetry's own environment variables say where to:
//
//	OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 sluice
//
// A signal is exported when OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER or
// OTEL_LOGS_EXPORTER names an exporter (otlp or console, and prometheus for metrics;
// none keeps it in), or when an endpoint or a protocol is set for OTLP
// (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL, and those of one signal).
// All else is as OpenTelemetry says: OTEL_TRACES_SAMPLER and its ARG,
// OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_*, OTEL_BSP_*,
// OTEL_BLRP_*, OTEL_METRIC_EXPORT_*, OTEL_SDK_DISABLED. A setting that is not
// understood is logged and ignored.
//
// While nothing is exported, and for requests that are not sampled, spans are made of
// ids alone, which logs and events need. So the trace id in a log line is always that
// of the request.
//
// A collector that cannot be reached holds nobody up: what does not fit into the
// queues is dropped. The log says so once, and once again when it is over.
//
// # Who is who
//
// The resource of metrics and logs is the process: service.name is the program's name,
// or the service's if the process runs one only. Spans have a resource for each
// service, also when all run in one process, so a trace shows who called whom:
// service.name is the service, sluice.service too, and service.namespace the program.
// [WithService] says which service a context belongs to. OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES win over all of them but sluice.service. Log lines have the
// attribute service.
//
// # Baggage
//
// Is neither accepted nor handed on, unless OTEL_PROPAGATORS names it. Then requests
// carry it between services, events never; more than 16 members or 1 KiB is dropped,
// and the gateway takes none from outside.
//
// # Levels
//
// [Levels] says from which level lines are written: everywhere, by service and by
// package. It can be changed while the program runs.
//
// # Spans
//
// Have the names and attributes of OpenTelemetry's conventions, and never an id in the
// name. An HTTP request is "POST /v1/orders", a gRPC call "sluice.order.v1.OrderService/Create",
// a request to an endpoint, on both sides, its subject "svc.order.create", an append
// "send order.created", an attempt of a handler "process order.created", the storing of a
// read model's step "commit orders", a dead letter "settle notification-orders". An attempt
// is the child of the append that it is about, and linked to it; a step of several events
// is linked to the append of each. The status is an error where the service is at fault,
// and error.type says in which way, for an endpoint by its code.
//
// # Metrics
//
// [MetricsHandler] answers a Prometheus scrape. In Prometheus the dots of a name are
// underscores, and the unit follows (_seconds, _bytes, _ratio for 1, _per_second, none for
// what is counted) and _total for counters: messaging.process.duration is
// messaging_process_duration_seconds. These names and units stay as they are. All of
// messaging.* and sluice.store.*, sluice.handler.*, sluice.projection.* and
// sluice.jetstream.* have messaging.destination.name, the stream; sluice.handler.* and
// messaging.process.duration also messaging.consumer.group.name, sluice.projection.*
// sluice.projection.name. rpc.*, sluice.endpoint.* and sluice.call.running have rpc.method,
// the subject, and sluice.service, whose it is; on the caller's side sluice.caller too. The
// other sluice.call.* and sluice.breaker.* have sluice.caller and sluice.policy.name.
// error.type tells failures apart and is absent from successes. No attribute ever holds an
// id, and what clients make up, such as a path that is no route, is one value or none.
//
// Several processes that run one group tell the same about the group's consumer: take
// the max over them of its lag, not the sum. So do several that follow one read model, and
// several registries about sluice.registry.* and sluice.jetstream.*.
//
//	http.server.request.duration           s              time to answer; http.request.method, http.route, http.response.status_code, url.scheme; error.type: 5xx, aborted
//	http.server.active_requests            {request}      requests that are not answered to the end; http.request.method, url.scheme
//	sluice.http.event_streams              {stream}       open streams of GET /v1/events
//	rpc.server.call.duration               s              time to answer; rpc.system.name: nats, grpc, connectrpc; error.type: a code, cancelled, for gRPC the status
//	rpc.client.call.duration               s              time of one attempt of a call; error.type: a code, cancelled
//	sluice.endpoint.running                {request}      requests that are carried out
//	sluice.endpoint.queued                 {request}      requests that wait for their turn
//	sluice.endpoint.refused                {request}      requests turned away because too many were waiting
//	sluice.endpoint.cancelled              {request}      requests not answered because their caller had gone
//	sluice.call.running                    {call}         calls that wait for their answer
//	sluice.call.attempts                   {attempt}      attempts of calls, repeats among them; sluice.call.outcome: answered, failed, ignored
//	sluice.call.retries                    {attempt}      of them, repeats
//	sluice.call.retries.unpaid             {attempt}      repeats that the budget did not allow
//	sluice.call.refused                    {attempt}      attempts that did not get to the target; sluice.call.reason: open, full, limited
//	sluice.breaker.state                   1              1 or 0 for each sluice.breaker.state: closed, open, half-open
//	sluice.breaker.changes                 {change}       changes to each sluice.breaker.state
//	messaging.client.operation.duration    s              time to append a decision; error.type: conflict, taken, too_large, unknown, …
//	messaging.client.sent.messages         {message}      events appended
//	messaging.client.consumed.messages     {message}      messages delivered to a group
//	messaging.process.duration             s              time of one attempt of a handler, by type of event; error.type: retry, drop, timeout, panic
//	sluice.handler.retries                 {attempt}      attempts that will be made again
//	sluice.handler.dead_letters            {message}      messages given up; sluice.deadletter.reason
//	sluice.handler.filtered                {message}      messages that the group's route leaves out
//	sluice.handler.running                 {message}      handlers at work
//	sluice.handler.held                    {message}      messages in hand: delivered and not settled
//	sluice.handler.lag                     {message}      messages that are not handled yet, whoever has them
//	sluice.handler.lag.time                s              how long the first of them has been in the stream
//	sluice.handler.redelivered             {message}      of them, those that were delivered more than once
//	sluice.handler.healthy                 1              1, or 0 when the group's Health has something to say
//	sluice.store.load.duration             s              time to load an aggregate
//	sluice.store.load.events               {event}        events that a load read
//	sluice.store.repairs                   {load}         loads that had to read every message of the aggregate
//	sluice.aggregate.lookups               {lookup}       look-ups in memory; sluice.cache.result: hit, miss
//	sluice.aggregate.snapshot.loads        {load}         look-ups of snapshots; sluice.cache.result: hit, miss
//	sluice.aggregate.snapshots             {snapshot}     snapshots taken; error.type: conflict, dropped, _OTHER
//	sluice.projection.position             {message}      the last sequence that is folded
//	sluice.projection.lag                  {message}      messages of the stream that are not folded yet
//	sluice.projection.lag.time             s              how long the first of them has been in the stream
//	sluice.projection.rate                 {event}/s      events folded a second by this process
//	sluice.projection.skipped              {event}        events that the model goes without
//	sluice.projection.commit.duration      s              time to store a step; error.type: conflict, cancelled, _OTHER
//	sluice.projection.batch.size           {event}        events of a step
//	sluice.projection.following            1              1 while the model is followed
//	sluice.projection.rebuild.lag          {message}      messages that the model being rebuilt has not folded yet
//	sluice.projection.rebuild.time_left    s              until the rebuilt model serves
//	sluice.registry.instances              {instance}     instances by sluice.service and sluice.service.status: healthy, unhealthy, unknown
//	sluice.jetstream.stream.messages       {message}      messages in a stream
//	sluice.jetstream.stream.size           By             bytes of a stream
//	sluice.jetstream.stream.used           1              the part of its bound that it has reached, in messages or bytes; absent without one
//	sluice.jetstream.stream.consumers      {consumer}     consumers of a stream
//	sluice.jetstream.consumer.pending      {message}      messages a durable consumer has not delivered yet
//	sluice.jetstream.consumer.ack_pending  {message}      messages delivered and not acknowledged
//	sluice.jetstream.consumer.redelivered  {message}      of them, those that were delivered more than once
//	sluice.jetstream.consumer.waiting      {request}      requests that wait for messages
//	sluice.jetstream.unseen                {asset}        streams and consumers beyond those that are told
//
// Streams are measured by duration too: that of GET /v1/events, or of an endpoint that
// yields items, is the time that somebody has listened.
//
// Beside them the process tells its go.* metrics: go.memory.used, go.goroutine.count
// and the others of OpenTelemetry's conventions for the Go runtime.
package telemetry
