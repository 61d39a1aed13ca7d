// Package esapi has the one call that Jaeger makes through a client, of which there is none.
package esapi

import (
	"errors"
	"io"
	"net/http"
)

// Indices is never made.
type Indices struct{}

// PutIndexTemplate fails.
func (*Indices) PutIndexTemplate(string, io.Reader) (*http.Response, error) {
	return nil, errors.ErrUnsupported
}
