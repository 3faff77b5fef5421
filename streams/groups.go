package streams

import (
	"math"

	"sluice/pkg/bus"
)

// Groups of handlers that take what outsiders publish on two-token subjects.
var (
	UserIntake  = bus.Group{Stream: "USERS_INTAKE", Name: "user-intake", Redrive: true}
	OrderIntake = bus.Group{Stream: "ORDERS_INTAKE", Name: "order-intake", Redrive: true}
)

// Groups that watch a whole history for messages that its service did not write.
var (
	UserGuard         = bus.Group{Stream: "USERS", Name: "user-guard"}
	OrderGuard        = bus.Group{Stream: "ORDERS", Name: "order-guard"}
	NotificationGuard = bus.Group{Stream: "NOTIFICATIONS", Name: "notification-guard"}
	RegistryGuard     = bus.Group{Stream: "SERVICES", Name: "registry-guard"}
	AlertsGuard       = bus.Group{Stream: "ALERTS", Name: "registry-alerts-guard"}
)

// UserErasure deletes what there is of erased users. It does not give up: a dead
// letter would leave personal data where it is.
var UserErasure = bus.Group{Stream: "USERS", Name: "user-erasure", Redrive: true, MaxAttempts: math.MaxInt32}

// Groups that react to the events of other services.
var (
	NotificationUsers  = bus.Group{Stream: "USERS", Name: "notification-users", Redrive: true}
	NotificationOrders = bus.Group{Stream: "ORDERS", Name: "notification-orders", Redrive: true}
	NotificationAlerts = bus.Group{Stream: "ALERTS", Name: "notification-alerts", Redrive: true}
)

// Groups for the timers of orders. What sets one does not give up, since without it
// the order would wait for ever; what is due outlasts an outage of some minutes.
var (
	OrderTimers = bus.Group{Stream: "ORDERS", Name: "order-timers", Redrive: true, MaxAttempts: math.MaxInt32}
	OrderDue    = bus.Group{Stream: bus.TimerStream, Name: "order-due", Redrive: true, MaxAttempts: 30}
)

// Groups returns all of them.
func Groups() []bus.Group {
	return []bus.Group{
		UserIntake, OrderIntake,
		UserGuard, OrderGuard, NotificationGuard, RegistryGuard, AlertsGuard,
		UserErasure, NotificationUsers, NotificationOrders, NotificationAlerts, OrderTimers, OrderDue,
	}
}
