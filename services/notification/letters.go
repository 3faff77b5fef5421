package notification

import (
	"fmt"
	"strings"
	"time"

	"sluice/services/order/orderapi"
	"sluice/services/registry/registryapi"
)

// letter is a mail before it has an address.
type letter struct{ subject, body string }

func welcome(username string) letter {
	return letter{
		subject: "Welcome to our platform!",
		body:    fmt.Sprintf("Hello %s, welcome to our platform!\n", username),
	}
}

func orderConfirmation(username string, o orderapi.Created) letter {
	var b strings.Builder
	fmt.Fprintf(&b, "Hello %s, thank you for your order %s.\n\n", username, o.OrderID)
	for _, item := range o.Items {
		fmt.Fprintf(&b, "%d x %s at %s\n", item.Quantity, item.ProductID, item.Price)
	}
	fmt.Fprintf(&b, "\nTotal: %s\n", o.TotalAmount)
	return letter{subject: "Your order " + o.OrderID, body: b.String()}
}

func raisedAlert(a registryapi.AlertRaised) letter {
	return letter{
		subject: "[Sluice] " + alertTitle(a.AboutAlert),
		body: fmt.Sprintf("%s\n\n%s\n\nSince: %s\n%s\nWhat is raised now: GET /v1/alerts\n",
			alertTitle(a.AboutAlert), a.Reason, a.Since.Format(time.RFC3339), alertAdvice(a.AboutAlert)),
	}
}

func resolvedAlert(a registryapi.AlertResolved) letter {
	return letter{
		subject: "[Sluice] Over: " + alertTitle(a.AboutAlert),
		body: fmt.Sprintf("It is over: %s\n\n%s\n\nRaised: %s\nOver:   %s\n",
			alertTitle(a.AboutAlert), a.Reason, a.RaisedAt.Format(time.RFC3339), a.Timestamp.Format(time.RFC3339)),
	}
}

// alertTitle says what an alert is about. A kind that is newer than this program is shown
// as it is.
func alertTitle(a registryapi.AboutAlert) string {
	switch a.Kind {
	case registryapi.AlertUnhealthy:
		return "service " + a.Subject + " is unhealthy"
	case registryapi.AlertDeadLetters:
		return "dead letters of " + a.Subject
	case registryapi.AlertLag:
		return "handlers " + a.Subject + " lag behind"
	case registryapi.AlertReadModelLag:
		return "read model " + a.Subject + " lags behind"
	default:
		return string(a.Kind) + " " + a.Subject
	}
}

// alertAdvice says where to look.
func alertAdvice(a registryapi.AboutAlert) string {
	switch a.Kind {
	case registryapi.AlertUnhealthy:
		return "Its instances: GET /v1/services/" + a.Subject
	case registryapi.AlertDeadLetters:
		return "To look at them, redrive or discard them: GET /v1/dead-letters?consumer=" + a.Subject
	case registryapi.AlertLag:
		return "What the consumer does: nats consumer report, and the log of its service"
	case registryapi.AlertReadModelLag:
		service, _, _ := strings.Cut(a.Subject, "/")
		return "How it stands: nats req svc." + service + ".projection '{}' with a token"
	default:
		return ""
	}
}
