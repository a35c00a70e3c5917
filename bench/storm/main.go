// Command storm makes NATS clients log in: TCP, CONNECT with a real token, PING, and the answer to it, N at a time.
//
//	storm -server 127.0.0.1:4222 -tokens FILE [-skip N] [-cycle N] -parallel 64 -logins 4000
//
// FILE holds one token a line. The logins use them in order, from line `skip` on; `cycle` limits them to that many
// lines, which then come again and again. Prints one JSON object: what became of the logins, and how long they took.
// With -hold every connection that is let in stays until the last login has ended, as real clients would; -each adds the
// moments of each login.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// outcome is how one login ended.
type outcome struct {
	answer string
	took   time.Duration
	moments
	held net.Conn
}

// moments of one login, since the storm began: when it dialled, had its INFO, and had the answer.
type moments struct{ began, informed, ended time.Duration }

// result is what is printed; times are in milliseconds, over the logins that were let in or refused.
type result struct {
	Logins    int            `json:"logins"`
	Allowed   int            `json:"allowed"`
	Refused   int            `json:"refused"`
	Failed    map[string]int `json:"failed,omitempty"`
	Seconds   float64        `json:"seconds"`
	PerSecond float64        `json:"per_second"`
	P50       float64        `json:"p50_ms"`
	P99       float64        `json:"p99_ms"`
	Longest   float64        `json:"longest_ms"`
	Parallel  int            `json:"parallel"`
	CPU       float64        `json:"clients_cpu_ms"`
	// What all processes of the machine used meanwhile, and what its host took away; 0 where the kernel does not tell.
	Machine float64 `json:"machine_cpu_ms"`
	// Began, informed, ended in milliseconds, and 1 for one that was let in.
	Each [][4]float64 `json:"each,omitempty"`
}

func main() {
	server := flag.String("server", "127.0.0.1:4222", "address of the NATS server")
	file := flag.String("tokens", "", "file with one token a line")
	skip := flag.Int("skip", 0, "lines of the file to leave out")
	cycle := flag.Int("cycle", 0, "use only so many lines, again and again (0: each line once)")
	parallel := flag.Int("parallel", 1, "clients at a time")
	logins := flag.Int("logins", 1000, "logins in all")
	seconds := flag.Float64("seconds", 0, "stop after so many seconds, if that is sooner (0: never)")
	patience := flag.Float64("patience", 5, "seconds that one login may take")
	hold := flag.Bool("hold", false, "keep each connection until the last login has ended")
	each := flag.Bool("each", false, "print the moments of each login, too")
	flag.Parse()
	tokens, err := read(*file, *skip, *cycle, *logins)
	if err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(2)
	}
	limit := time.Duration(*seconds * float64(time.Second))
	found := storm(*server, tokens, *parallel, *logins, limit, time.Duration(*patience*float64(time.Second)), *hold, *each)
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		os.Exit(1)
	}
}

func read(file string, skip, cycle, logins int) ([]string, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	lines := strings.Fields(string(body))
	wanted := logins
	if cycle > 0 {
		wanted = min(cycle, logins)
	}
	if skip+wanted > len(lines) {
		return nil, fmt.Errorf("%d tokens are wanted after line %d, and there are %d", wanted, skip, len(lines))
	}
	return lines[skip : skip+wanted], nil
}

func storm(
	server string, tokens []string, parallel, logins int, limit, patience time.Duration, hold, each bool,
) result {
	outcomes := make([]outcome, logins)
	var next atomic.Int64
	var clients sync.WaitGroup
	spent, busy := cpu(), machine()
	began := time.Now()
	for range parallel {
		clients.Go(func() {
			for {
				number := int(next.Add(1)) - 1
				if number >= logins || (limit > 0 && time.Since(began) > limit) {
					return
				}
				outcomes[number] = login(server, tokens[number%len(tokens)], number, patience, began, hold)
			}
		})
	}
	clients.Wait()
	found := summary(outcomes, time.Since(began), parallel)
	found.CPU, found.Machine = milliseconds(cpu()-spent), milliseconds(machine()-busy)
	for _, one := range outcomes {
		if one.held != nil {
			one.held.Close()
		}
		if each && one.answer != "" {
			in := map[bool]float64{true: 1}[one.answer == "allowed"]
			found.Each = append(found.Each, [4]float64{
				milliseconds(one.began), milliseconds(one.informed), milliseconds(one.ended), in,
			})
		}
	}
	return found
}

func milliseconds(length time.Duration) float64 { return float64(length.Microseconds()) / 1000 }

// cpu returns the processor time that this process has used.
func cpu() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func summary(outcomes []outcome, took time.Duration, parallel int) result {
	found := result{Seconds: took.Seconds(), Parallel: parallel, Failed: make(map[string]int)}
	var times []time.Duration
	for _, each := range outcomes {
		switch each.answer {
		case "":
			continue
		case "allowed":
			found.Allowed++
		case "refused":
			found.Refused++
		default:
			found.Failed[each.answer]++
		}
		found.Logins++
		times = append(times, each.took)
	}
	if len(times) == 0 {
		return found
	}
	slices.Sort(times)
	at := func(share float64) float64 {
		return milliseconds(times[int(share*float64(len(times)-1))])
	}
	found.PerSecond = float64(found.Logins) / took.Seconds()
	found.P50, found.P99, found.Longest = at(0.5), at(0.99), at(1)
	return found
}

// machine returns the processor time that all processes have used, and the time that the host took away.
func machine() time.Duration {
	body, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(body), "\n")
	var ticks time.Duration
	for place, field := range strings.Fields(line) {
		// cpu user nice system idle iowait irq softirq steal: all but idle and iowait.
		if count, err := strconv.Atoi(field); err == nil && place <= 8 && place != 4 && place != 5 {
			ticks += time.Duration(count)
		}
	}
	return ticks * 10 * time.Millisecond
}

// login connects once, and says what the server answered (allowed, refused, or what went wrong), and when.
func login(server, token string, number int, patience time.Duration, epoch time.Time, hold bool) (found outcome) {
	found.began = time.Since(epoch)
	defer func() {
		found.ended = time.Since(epoch)
		found.took = found.ended - found.began
	}()
	connection, err := net.DialTimeout("tcp", server, patience)
	if err != nil {
		found.answer = "no connection"
		return found
	}
	defer func() {
		if hold && found.answer == "allowed" {
			found.held = connection
			return
		}
		connection.Close()
	}()
	if tcp, ok := connection.(*net.TCPConn); ok {
		// Gone without TIME_WAIT: a storm would use up the machine's ports within seconds.
		_ = tcp.SetLinger(0)
	}
	_ = connection.SetDeadline(time.Now().Add(patience))
	lines := bufio.NewReaderSize(connection, 4096)
	if info, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(info, "INFO ") {
		found.answer = "no INFO"
		return found
	}
	found.informed = time.Since(epoch)
	connect := fmt.Sprintf(
		`CONNECT {"verbose":false,"pedantic":false,"lang":"storm","version":"1","protocol":1,`+
			`"name":"storm-%d","auth_token":"%s"}`+"\r\nPING\r\n", number, token)
	if _, err := connection.Write([]byte(connect)); err != nil {
		found.answer = "not sent"
		return found
	}
	found.answer = answer(lines)
	return found
}

func answer(lines *bufio.Reader) string {
	for {
		line, err := lines.ReadString('\n')
		var slow net.Error
		switch {
		case strings.HasPrefix(line, "PONG"):
			return "allowed"
		case strings.HasPrefix(line, "-ERR 'Authorization"):
			return "refused"
		case strings.HasPrefix(line, "-ERR 'Authentication Timeout"):
			return "timed out at the server"
		case strings.HasPrefix(line, "-ERR"):
			return "another error"
		case errors.As(err, &slow) && slow.Timeout():
			return "timed out here"
		case err != nil:
			return "connection closed"
		}
	}
}
