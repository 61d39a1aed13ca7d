// Package ui serves no pages: they are made with Node and are not in the module. The API is all that is needed here.
package ui

import "github.com/prometheus/common/route"

// Register adds no page.
func Register(*route.Router) {}
