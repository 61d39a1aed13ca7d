// Package plugins registers ways to find targets, beside those in files and over HTTP, which Prometheus registers itself. It has some
// thirty, with the libraries of as many clouds; what works in a cluster is enough here.
package plugins

import (
	_ "github.com/prometheus/prometheus/discovery/dns"
	_ "github.com/prometheus/prometheus/discovery/kubernetes"
)
