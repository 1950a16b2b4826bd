// Go's net/http: client WORK ORIGIN PATH CONCURRENCY MS. The same work as client.ts; prints one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const minWarmUp = 5000

var client *http.Client
var concurrency int

func batch(url string, more func() bool, done func(time.Time)) int64 {
	var errors int64
	var group sync.WaitGroup
	for i := 0; i < concurrency; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for more() {
				begun := time.Now()
				if err := once(url); err != nil {
					atomic.AddInt64(&errors, 1)
					return
				}
				done(begun)
			}
		}()
	}
	group.Wait()
	return errors
}

func once(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.ReadAll(response.Body)
	return err
}

func usage() (cpu time.Duration, maxRssKiB int64) {
	var it syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &it)
	return time.Duration(it.Utime.Nano() + it.Stime.Nano()), it.Maxrss
}

func get(url string, window time.Duration) any {
	warm, left := time.Now(), int64(minWarmUp)
	batch(url, func() bool { return atomic.AddInt64(&left, -1) >= 0 || time.Since(warm) < window/2 }, func(time.Time) {})
	var mutex sync.Mutex
	var latencies []float64
	begun := time.Now()
	before, _ := usage()
	batch(url, func() bool { return time.Since(begun) < window }, func(at time.Time) {
		ms := float64(time.Since(at).Microseconds()) / 1000
		mutex.Lock()
		latencies = append(latencies, ms)
		mutex.Unlock()
	})
	after, _ := usage()
	took := time.Since(begun).Seconds()
	sort.Float64s(latencies)
	count := len(latencies)
	return map[string]float64{
		"rate":  float64(count) / took,
		"cpuUs": float64((after - before).Microseconds()) / float64(count),
		"p50Ms": latencies[count/2],
		"p99Ms": latencies[count*99/100],
	}
}

func hold(origin, url string) any {
	once(origin + "/512")
	before, idle := usage()
	left, finished := int64(concurrency), int64(0)
	batch(url, func() bool { return atomic.AddInt64(&left, -1) >= 0 }, func(time.Time) { atomic.AddInt64(&finished, 1) })
	after, peak := usage()
	return map[string]float64{
		"kibPerRequest": float64(peak-idle) / float64(concurrency),
		"peakMb":        float64(peak) * 1024 / 1e6,
		"cpuS":          (after - before).Seconds(),
		"errors":        float64(int64(concurrency) - finished),
	}
}

func main() {
	work, origin, path := os.Args[1], os.Args[2], os.Args[3]
	concurrency, _ = strconv.Atoi(os.Args[4])
	ms, _ := strconv.Atoi(os.Args[5])
	client = &http.Client{Transport: &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: concurrency}}
	var result any
	if work == "hold" {
		result = hold(origin, origin+path)
	} else {
		result = get(origin+path, time.Duration(ms)*time.Millisecond)
	}
	line, _ := json.Marshal(result)
	fmt.Println(string(line))
}
