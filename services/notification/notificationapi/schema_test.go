package notificationapi_test

import (
	"testing"

	"sluice/pkg/event/eventtest"
	"sluice/services/notification/notificationapi"
)

// TestSchemasStayReadable holds what stored events look like. A golden schema only
// ever gains optional members; all else needs a new schema version.
func TestSchemasStayReadable(t *testing.T) {
	t.Parallel()
	if *update {
		eventtest.WriteSchemas(t, notificationapi.Events, "testdata")
	}
	eventtest.CheckSchemas(t, notificationapi.Events, "testdata")
}
