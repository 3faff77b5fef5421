package discovery

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// identity is what every answer on $SRV begins with.
type identity struct {
	Name     string            `json:"name"`
	ID       string            `json:"id"`
	Version  string            `json:"version"`
	Metadata map[string]string `json:"metadata"`
}

func (i identity) who() identity { return i }

// key tells instances apart. The id alone does not: nobody keeps a service from taking
// that of another's instance.
func (i identity) key() string { return i.Name + " " + i.ID }

// identified is an answer that says whose it is.
type identified interface{ who() identity }

// pingReply is an answer to $SRV.PING.
type pingReply struct{ identity }

// infoReply is an answer to $SRV.INFO.
type infoReply struct {
	identity

	Description string `json:"description"`
	Endpoints   []struct {
		Name       string            `json:"name"`
		Subject    string            `json:"subject"`
		QueueGroup string            `json:"queue_group"`
		Metadata   map[string]string `json:"metadata"`
	} `json:"endpoints"`
}

func (r infoReply) instance(now time.Time) Instance {
	i := Instance{
		Name: r.Name, ID: r.ID, Version: r.Version, Description: r.Description, Metadata: r.Metadata,
		Endpoints: make([]Endpoint, len(r.Endpoints)), Seen: now,
	}
	for n, e := range r.Endpoints {
		i.Endpoints[n] = Endpoint(e)
	}
	return i
}

// statsReply is an answer to $SRV.STATS.
type statsReply struct {
	identity

	Started   time.Time `json:"started"`
	Endpoints []struct {
		Name           string         `json:"name"`
		Subject        string         `json:"subject"`
		NumRequests    int            `json:"num_requests"`
		NumErrors      int            `json:"num_errors"`
		LastError      string         `json:"last_error"`
		ProcessingTime int64          `json:"processing_time"` // nanoseconds
		Data           jsontext.Value `json:"data"`
	} `json:"endpoints"`
}

func (r statsReply) statistics() Statistics {
	s := Statistics{
		Name: r.Name, ID: r.ID, Version: r.Version, Started: r.Started,
		Endpoints: make([]EndpointStatistics, len(r.Endpoints)),
	}
	for n, e := range r.Endpoints {
		s.Endpoints[n] = EndpointStatistics{
			Name: e.Name, Subject: e.Subject, Requests: e.NumRequests, Errors: e.NumErrors,
			LastError: e.LastError, ProcessingTime: time.Duration(e.ProcessingTime), Data: e.Data,
		}
	}
	return s
}
