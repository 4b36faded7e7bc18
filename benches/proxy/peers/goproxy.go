// The peer `go`: net/http/httputil.ReverseProxy by host, from a file of `host address` lines.
package main

import (
	"bufio"
	"context"
	"log"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"time"
)

type upstream struct{}

func main() {
	httpAddress, httpsAddress, certificate, key, file := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	handler := proxy(read(file))
	go func() { log.Fatal(http.ListenAndServeTLS(httpsAddress, certificate, key, handler)) }()
	log.Fatal(http.ListenAndServe(httpAddress, handler))
}

func read(file string) map[string]string {
	routes := map[string]string{}
	open, err := os.Open(file)
	if err != nil {
		log.Fatal(err)
	}
	for lines := bufio.NewScanner(open); lines.Scan(); {
		if host, address, ok := strings.Cut(lines.Text(), " "); ok {
			routes[host] = address
		}
	}
	return routes
}

func proxy(routes map[string]string) http.Handler {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns = 0
	transport.MaxIdleConnsPerHost = 1024
	transport.IdleConnTimeout = time.Minute
	transport.DisableCompression = true
	reverse := &httputil.ReverseProxy{Transport: transport, Director: func(r *http.Request) {
		r.URL.Scheme = "http"
		r.URL.Host = r.Context().Value(upstream{}).(string)
		r.Header.Set("X-Forwarded-Proto", "http")
		r.Header.Set("X-Forwarded-Host", r.Host)
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ":")
		address, ok := routes[host]
		if !ok {
			http.NotFound(w, r)
			return
		}
		reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), upstream{}, address)))
	})
}
