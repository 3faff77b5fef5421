package streams

import (
	"math"

	"sluice/pkg/bus"
)

// Groups of handlers that take what outsiders publish on two-token subjects.
var (
	UserIntake  = bus.Group{Stream: "USERS_INTAKE", Name: "user-intake"}
	OrderIntake = bus.Group{Stream: "ORDERS_INTAKE", Name: "order-intake"}
)

// Groups that watch a whole history for messages that its service did not write.
var (
	UserGuard         = bus.Group{Stream: "USERS", Name: "user-guard"}
	OrderGuard        = bus.Group{Stream: "ORDERS", Name: "order-guard"}
	NotificationGuard = bus.Group{Stream: "NOTIFICATIONS", Name: "notification-guard"}
)

// UserErasure deletes what there is of erased users. It does not give up: a dead
// letter would leave personal data where it is.
var UserErasure = bus.Group{Stream: "USERS", Name: "user-erasure", MaxAttempts: math.MaxInt32}

// Groups that react to the events of other services.
var (
	NotificationUsers  = bus.Group{Stream: "USERS", Name: "notification-users"}
	NotificationOrders = bus.Group{Stream: "ORDERS", Name: "notification-orders"}
)
