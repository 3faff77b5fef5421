package notification

import (
	"fmt"
	"strings"

	"sluice/services/order/orderapi"
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
