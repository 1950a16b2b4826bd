// The rows of the benchmark in Go: bench ROW SIZE [SLEEP_MS] [WINDOW_MS].
//
// Measures as measure.ts does (work that grows, warm-up, the fastest sample) and prints one line of JSON, null when the
// goroutines have to sleep longer. One processor runs them, as one thread runs everybody else's tasks. Each row stands
// beside its like in rows/*.ts and does and checks the same.
package main

import (
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A program does at least ops operations at size n and gives the time they took and how many they were.
type program func(n, ops int) (time.Duration, int)

const room = 64

var timed = map[string]program{
	"switch":           switching,
	"spawn":            func(n, ops int) (time.Duration, int) { return spawning(n, ops, returns) },
	"spawn-wait":       func(n, ops int) (time.Duration, int) { return spawning(n, ops, waits) },
	"spawn-closure":    func(n, ops int) (time.Duration, int) { return spawning(n, ops, nil) },
	"timers":           func(n, _ int) (time.Duration, int) { return timers(n, true, true, mixed(n)) },
	"timers-set":       func(n, _ int) (time.Duration, int) { return timers(n, true, false, mixed(n)) },
	"timers-cancel":    func(n, _ int) (time.Duration, int) { return timers(n, false, true, mixed(n)) },
	"timers-same":      func(n, _ int) (time.Duration, int) { return timers(n, true, true, same(n)) },
	"channel":          func(n, ops int) (time.Duration, int) { return delivering(n, ops, 0) },
	"channel-buffered": func(n, ops int) (time.Duration, int) { return delivering(n, ops, room) },
	"channel-many":     func(n, ops int) (time.Duration, int) { return delivering(n, ops, 0) },
	"lock":             locking,
	"select":           selecting,
}

func main() {
	runtime.GOMAXPROCS(1)
	row, n := os.Args[1], number(2, 1)
	sleep := time.Duration(number(3, 1_000)) * time.Millisecond
	window := time.Duration(number(4, 300)) * time.Millisecond
	if row == "memory" {
		memory(n, sleep)
		return
	}
	work, found := timed[row]
	check(found, "there is no row "+row)
	measure(work, n, window)
}

func number(index, otherwise int) int {
	if len(os.Args) <= index {
		return otherwise
	}
	value, err := strconv.Atoi(os.Args[index])
	check(err == nil, "not a number: "+os.Args[index])
	return value
}

func check(holds bool, claim string) {
	if !holds {
		fmt.Fprintln(os.Stderr, "Error: the contestant did not do the work:", claim)
		os.Exit(1)
	}
}

func measure(work program, n int, window time.Duration) {
	small := n
	if small > 1_000 {
		small = 1_000
	}
	ops := 1_000
	sample := window * 2 / 15
	until := time.Now().Add(window * 2 / 3)
	for {
		took, done := work(small, ops)
		isLong := took >= sample || done < ops
		if isLong && time.Now().After(until) {
			break
		}
		if !isLong {
			growth := 1.2 * float64(sample) / float64(took+1)
			if growth > 10 {
				growth = 10
			} else if growth < 2 {
				growth = 2
			}
			ops = int(float64(ops)*growth) + 1
		}
	}
	if ops < n {
		ops = n
	}
	best, samples := 0.0, 0
	for until = time.Now().Add(window); samples == 0 || time.Now().Before(until); samples++ {
		took, done := work(n, ops)
		if ns := float64(took.Nanoseconds()) / float64(done); samples == 0 || ns < best {
			best = ns
		}
	}
	fmt.Printf("{\"kind\":\"time\",\"nsPerOp\":%.3f,\"samples\":%d}\n", best, samples)
}

func switching(n, ops int) (time.Duration, int) {
	perTask := (ops+n-1)/n + 2
	stopAt := n * (perTask - 2)
	arrived, ticks := 0, 0
	var startedAt, stoppedAt time.Time
	var all sync.WaitGroup
	all.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			runtime.Gosched()
			if arrived++; arrived == n {
				startedAt = time.Now()
			}
			for turn := 1; turn < perTask; turn++ {
				runtime.Gosched()
				if ticks++; ticks == stopAt {
					stoppedAt = time.Now()
				}
			}
			all.Done()
		}()
	}
	all.Wait()
	check(ticks == n*(perTask-1), "turns are missing")
	return stoppedAt.Sub(startedAt), stopAt
}

func returns(i int, result *int, all *sync.WaitGroup) {
	*result = i + 1
	all.Done()
}

func waits(i int, result *int, all *sync.WaitGroup) {
	runtime.Gosched()
	*result = i + 1
	all.Done()
}

func spawning(n, ops int, child func(int, *int, *sync.WaitGroup)) (time.Duration, int) {
	batches := (ops + n - 1) / n
	total := 0
	results := make([]int, n)
	startedAt := time.Now()
	for batch := 0; batch < batches; batch++ {
		var all sync.WaitGroup
		all.Add(n)
		for i := 0; i < n; i++ {
			if child != nil {
				go child(i, &results[i], &all)
				continue
			}
			i := i
			go func() {
				results[i] = i + 1
				all.Done()
			}()
		}
		all.Wait()
		for _, result := range results {
			total += result
		}
	}
	took := time.Since(startedAt)
	check(total == batches*n*(n+1)/2, "the results do not add up")
	return took, batches * n
}

func mixed(n int) []time.Duration {
	numbers := rand.New(rand.NewSource(int64(n)))
	delays := make([]time.Duration, n)
	for i := range delays {
		delays[i] = time.Duration(1_000+numbers.Intn(59_000)) * time.Millisecond
	}
	return delays
}

func same(n int) []time.Duration {
	delays := make([]time.Duration, n)
	for i := range delays {
		delays[i] = 30 * time.Second
	}
	return delays
}

func timers(n int, setting, cancelling bool, delays []time.Duration) (time.Duration, int) {
	const controls = 10
	var fired int32
	fire := func() { atomic.AddInt32(&fired, 1) }
	startedAt := time.Now()
	set := make([]*time.Timer, n)
	for i, delay := range delays {
		set[i] = time.AfterFunc(delay, fire)
	}
	setAt := time.Now()
	for _, timer := range set {
		timer.Stop()
	}
	cancelledAt := time.Now()
	for i := 0; i < controls; i++ {
		time.AfterFunc(time.Millisecond, fire)
	}
	time.Sleep(20 * time.Millisecond)
	check(atomic.LoadInt32(&fired) == controls, "not exactly the timers that were left have fired")
	took := time.Duration(0)
	if setting {
		took += setAt.Sub(startedAt)
	}
	if cancelling {
		took += cancelledAt.Sub(setAt)
	}
	return took, n
}

func delivering(n, ops, capacity int) (time.Duration, int) {
	perSender := (ops + n - 1) / n
	expected := make([]int, n)
	values := make(chan int, capacity)
	startedAt := time.Now()
	for i := 0; i < n; i++ {
		go send(values, n, i, perSender)
	}
	for i := 0; i < n*perSender; i++ {
		receive(<-values, expected)
	}
	return time.Since(startedAt), n * perSender
}

func send(values chan<- int, senders, sender, count int) {
	for i := 0; i < count; i++ {
		values <- i*senders + sender
	}
}

func receive(value int, expected []int) {
	sender := value % len(expected)
	check(expected[sender]*len(expected)+sender == value, "a value came out of turn")
	expected[sender]++
}

func selecting(_, ops int) (time.Duration, int) {
	perSender := (ops + 1) / 2
	expected := make([]int, 2)
	a, b := make(chan int), make(chan int)
	startedAt := time.Now()
	go send(a, 2, 0, perSender)
	go send(b, 2, 1, perSender)
	for i := 0; i < 2*perSender; i++ {
		select {
		case value := <-a:
			receive(value, expected)
		case value := <-b:
			receive(value, expected)
		}
	}
	return time.Since(startedAt), 2 * perSender
}

func locking(n, ops int) (time.Duration, int) {
	perTask := (ops + n - 1) / n
	inside, left := 0, 0
	var lock sync.Mutex
	var all sync.WaitGroup
	all.Add(n)
	startedAt := time.Now()
	for i := 0; i < n; i++ {
		go func() {
			for turn := 0; turn < perTask; turn++ {
				lock.Lock()
				inside++
				check(inside == 1, "two goroutines were inside")
				runtime.Gosched()
				inside--
				left++
				lock.Unlock()
			}
			all.Done()
		}()
	}
	all.Wait()
	check(left == n*perTask, "acquisitions are missing")
	return time.Since(startedAt), left
}

func memory(n int, sleep time.Duration) {
	before := resident("VmRSS:")
	startedAt := time.Now()
	asleep, awake, parked := 0, 0, 0
	overlapped := false
	var all sync.WaitGroup
	all.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			if asleep++; asleep == n {
				overlapped = awake == 0
				parked = resident("VmRSS:")
			}
			time.Sleep(sleep)
			awake++
			all.Done()
		}()
	}
	all.Wait()
	check(awake == n, "not all goroutines woke")
	if !overlapped {
		fmt.Println("null")
		return
	}
	life := float64(time.Since(startedAt).Nanoseconds()) / 1e6
	fmt.Printf("{\"kind\":\"memory\",\"peakBytes\":%d,\"beforeBytes\":%d,\"parkedBytes\":%d,\"lifeMs\":%.1f}\n",
		resident("VmHWM:"), before, parked, life)
}

// Bytes that the process holds, or has held at most; 0 where there is no /proc.
func resident(what string) int {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == what {
			kilobytes, _ := strconv.Atoi(fields[1])
			return kilobytes * 1024
		}
	}
	return 0
}
