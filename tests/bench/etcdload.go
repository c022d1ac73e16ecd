// etcdload drives an etcd cluster through etcd's own Go client, so that
// raftkit can be measured beside it in one run (tests/bench/compare).
//
//	etcdload -endpoints a,b,c -op put|get|sget -clients N -time 8s
//	    -value-size N -keys N
//
// A closed loop: each client has one operation open.  One JSON object on
// stdout.  Built from Debian packages only: etcd-client golang-go
// golang-etcd-server-dev, with GO111MODULE=off GOPATH=/usr/share/gocode.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/clientv3"
)

type config struct {
	op       string
	value    string
	keys     int
	from, to time.Time
}

type tally struct {
	ms     []float64
	errors int
}

func (c *config) one(client *clientv3.Client, rng *rand.Rand) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	key := fmt.Sprintf("%08d", rng.Intn(c.keys))
	var err error
	switch c.op {
	case "put":
		_, err = client.Put(ctx, key, c.value)
	case "sget":
		_, err = client.Get(ctx, key, clientv3.WithSerializable())
	default:
		_, err = client.Get(ctx, key)
	}
	return err
}

func (c *config) loop(client *clientv3.Client, seed int64, t *tally) {
	rng := rand.New(rand.NewSource(seed))
	for {
		start := time.Now()
		if start.After(c.to) {
			return
		}
		err := c.one(client, rng)
		end := time.Now()
		if start.Before(c.from) || end.After(c.to) {
			continue
		}
		if err != nil {
			t.errors++
			continue
		}
		t.ms = append(t.ms, float64(end.Sub(start).Nanoseconds())/1e6)
	}
}

func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(p*float64(len(sorted)-1))]
}

func main() {
	endpoints := flag.String("endpoints", "127.0.0.1:2379", "comma-separated")
	op := flag.String("op", "put", "put, get (linearizable), sget (serializable)")
	clients := flag.Int("clients", 1, "operations open at once")
	conns := flag.Int("conns", 100, "connections that they share at most")
	length := flag.Duration("time", 8*time.Second, "after a second of warm-up")
	size := flag.Int("value-size", 256, "bytes")
	keys := flag.Int("keys", 100000, "key space")
	flag.Parse()

	if *conns > *clients {
		*conns = *clients
	}
	list := strings.Split(*endpoints, ",")
	pool := make([]*clientv3.Client, *conns)
	for i := range pool {
		var err error
		pool[i], err = clientv3.New(clientv3.Config{
			Endpoints:   []string{list[i%len(list)]},
			DialTimeout: 5 * time.Second,
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, "etcdload:", err)
			os.Exit(69)
		}
	}
	begin := time.Now().Add(time.Second)
	c := &config{*op, strings.Repeat("v", *size), *keys, begin, begin.Add(*length)}
	tallies := make([]tally, *clients)
	var wg sync.WaitGroup
	for i := range tallies {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			c.loop(pool[i%len(pool)], int64(i), &tallies[i])
		}(i)
	}
	wg.Wait()
	var all []float64
	errors := 0
	for i := range tallies {
		all = append(all, tallies[i].ms...)
		errors += tallies[i].errors
	}
	sort.Float64s(all)
	json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"op": *op, "clients": *clients, "ops": len(all), "errors": errors,
		"ops_per_s": float64(len(all)) / length.Seconds(),
		"p50_ms":    percentile(all, .5), "p99_ms": percentile(all, .99),
		"max_ms": percentile(all, 1),
	})
}
