// franz-go as a client of the chaos rig: every operation becomes one line of JSON in a file (see ../../README.md).
//
// A send is ok (acknowledged, at this offset), fail (certainly not done) or info (nobody knows). Every error of a broker is
// info, because an earlier attempt may have been appended; only what never left this process is fail.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	filler       = "the quick brown fox jumps over the lazy dog and runs away from the hounds of the old mill by the river"
	sendLimit    = 40 * time.Second
	crashEvery   = 30 * time.Second
	finalLimit   = 200 * time.Second
	commitsEvery = 5 * time.Second
)

var (
	flags      = flag.NewFlagSet("franz", flag.ExitOnError)
	bootstrap  = flags.String("bootstrap", "", "")
	topicList  = flags.String("topics", "", "separated by commas")
	partitions = flags.Int("partitions", 1, "of each topic")
	file       = flags.String("file", "", "where the operations are written")
	id         = flags.Int64("id", 0, "of this process: the upper bits of its values")
	rate       = flags.Int("rate", 100, "records a second")
	patienceMs = flags.Int("patience-ms", 10_000, "how long a broker may try")
	acks       = flags.String("acks", "all", "all or 1")
	commits    = flags.Bool("commits", false, "commit offsets, and ask for them")
	seed       = flags.Int64("seed", 0, "")
)

// line is one operation.
type line map[string]any

// journal is the file of operations, with times in microseconds since the Unix epoch that never go back.
type journal struct {
	lock  sync.Mutex
	file  *os.File
	out   *bufio.Writer
	start time.Time
	wall  int64
}

func openJournal() *journal {
	opened, err := os.OpenFile(*file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	check(err)
	start := time.Now()
	made := &journal{file: opened, out: bufio.NewWriterSize(opened, 1<<16), start: start, wall: start.UnixMicro()}
	go func() {
		for range time.Tick(500 * time.Millisecond) {
			made.flush()
		}
	}()
	return made
}

func (j *journal) now() int64 { return j.wall + time.Since(j.start).Microseconds() }

func (j *journal) write(what line) {
	text, err := json.Marshal(what)
	check(err)
	j.lock.Lock()
	defer j.lock.Unlock()
	j.out.Write(text)
	j.out.WriteByte('\n')
}

func (j *journal) flush() {
	j.lock.Lock()
	defer j.lock.Unlock()
	check(j.out.Flush())
}

// place is one partition.
type place struct {
	topic     string
	partition int32
}

func (p place) String() string { return fmt.Sprintf("%s/%d", p.topic, p.partition) }

func places() []place {
	var all []place
	for partition := range *partitions {
		for _, topic := range strings.Split(*topicList, ",") {
			all = append(all, place{topic, int32(partition)})
		}
	}
	return all
}

func main() {
	check(flags.Parse(os.Args[2:]))
	signal.Ignore(syscall.SIGINT)
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	out := openJournal()
	switch os.Args[1] {
	case "produce":
		produce(stop, out)
	case "poll":
		poll(stop, out)
	case "final":
		readAll(stop, out)
	default:
		log.Fatalf("no such role: %s", os.Args[1])
	}
	out.write(line{"op": "end", "id": *id, "at": out.now()})
	out.flush()
}

func options(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(*bootstrap, ",")...), kgo.MetadataMaxAge(30 * time.Second),
		kgo.RetryTimeout(15 * time.Second), kgo.DialTimeout(3 * time.Second),
		kgo.RequestTimeoutOverhead(5 * time.Second),
	}, more...)
}

// pending is what was sent and has no answer yet.
type pending struct {
	lock sync.Mutex
	open map[int64]line
}

// settle takes the send out; false if it was settled before.
func (p *pending) settle(value int64) (line, bool) {
	p.lock.Lock()
	defer p.lock.Unlock()
	what, there := p.open[value]
	delete(p.open, value)
	return what, there
}

func produce(stop context.Context, out *journal) {
	patience := time.Duration(*patienceMs) * time.Millisecond
	more := []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5 * time.Millisecond), kgo.MaxBufferedRecords(20_000),
		kgo.ProducerBatchMaxBytes(16_384),
		kgo.RecordDeliveryTimeout(sendLimit), kgo.ProduceRequestTimeout(patience), kgo.UnknownTopicRetries(-1),
		kgo.RequestTimeoutOverhead(patience / 2), kgo.DialTimeout(min(patience, 3*time.Second)), kgo.MetadataMinAge(patience / 2),
	}
	if *acks == "1" {
		more = append(more, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(options(more...)...)
	check(err)
	out.write(line{"op": "producer", "id": *id, "idempotent": *acks == "all", "client": "franz-go"})
	waiting := &pending{open: map[int64]line{}}
	all := places()
	began, due := time.Now(), 0
	var sent atomic.Int64
	for stop.Err() == nil {
		wanted := int(time.Since(began).Seconds() * float64(*rate))
		// What could not be sent in time is not made up for in one burst.
		due = max(due, wanted-*rate)
		for ; due < wanted; due++ {
			send(client, out, waiting, all[due%len(all)], *id<<40|(sent.Add(1)-1))
		}
		time.Sleep(5 * time.Millisecond)
	}
	limit, cancel := context.WithTimeout(context.Background(), sendLimit+5*time.Second)
	defer cancel()
	client.Flush(limit)
	waiting.lock.Lock()
	left := waiting.open
	waiting.open = map[int64]line{}
	waiting.lock.Unlock()
	for _, what := range left {
		what["e"], what["r"], what["err"] = out.now(), "info", "flush"
		out.write(what)
	}
}

func send(client *kgo.Client, out *journal, waiting *pending, to place, value int64) {
	text := fmt.Sprintf("%d %s", value, filler[:value%int64(len(filler))])
	waiting.lock.Lock()
	waiting.open[value] = line{"op": "send", "k": to.String(), "v": value, "s": out.now()}
	waiting.lock.Unlock()
	record := &kgo.Record{Topic: to.topic, Partition: to.partition, Value: []byte(text)}
	client.TryProduce(context.Background(), record, func(record *kgo.Record, err error) {
		what, there := waiting.settle(value)
		if !there {
			return
		}
		what["e"] = out.now()
		switch {
		case err == nil:
			what["r"], what["o"] = "ok", record.Offset
		case errors.Is(err, kgo.ErrMaxBuffered):
			what["r"], what["err"] = "fail", err.Error()
		default:
			what["r"], what["err"] = "info", err.Error()
		}
		out.write(what)
	})
}

// from is where a reader begins: now and then a little before where it was.
func openReader(out *journal, from map[place]int64) *kgo.Client {
	assigned := map[string]map[int32]kgo.Offset{}
	named := map[string]int64{}
	for where, offset := range from {
		if assigned[where.topic] == nil {
			assigned[where.topic] = map[int32]kgo.Offset{}
		}
		assigned[where.topic][where.partition] = kgo.NewOffset().At(offset)
		named[where.String()] = offset
	}
	client, err := kgo.NewClient(options(kgo.ConsumePartitions(assigned), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))...)
	check(err)
	out.write(line{"op": "assign", "id": *id, "at": out.now(), "from": named})
	return client
}

// take does one poll, as one operation; it returns how many records it brought.
func take(stop context.Context, client *kgo.Client, out *journal, position map[place]int64, limit time.Duration) int {
	wait, cancel := context.WithTimeout(stop, limit)
	defer cancel()
	fetches := client.PollRecords(wait, 500)
	got := map[string][][2]int64{}
	fetches.EachRecord(func(record *kgo.Record) {
		number, _, _ := strings.Cut(string(record.Value), " ")
		value, err := strconv.ParseInt(number, 10, 64)
		check(err)
		where := place{record.Topic, record.Partition}
		got[where.String()] = append(got[where.String()], [2]int64{record.Offset, value})
		position[where] = record.Offset + 1
	})
	if len(got) > 0 {
		out.write(line{"op": "poll", "id": *id, "at": out.now(), "got": got})
	}
	return fetches.NumRecords()
}

func beginnings() map[place]int64 {
	position := map[place]int64{}
	for _, where := range places() {
		position[where] = 0
	}
	return position
}

func poll(stop context.Context, out *journal) {
	chance := rand.New(rand.NewSource(*seed))
	position := beginnings()
	client := openReader(out, position)
	crashAt, commitAt := time.Now().Add(crashEvery), time.Now().Add(commitsEvery)
	for stop.Err() == nil {
		take(stop, client, out, position, 100*time.Millisecond)
		if *commits && time.Now().After(commitAt) {
			commitAt = time.Now().Add(commitsEvery)
			commit(stop, client, out, position)
		}
		if time.Now().After(crashAt) {
			crashAt = time.Now().Add(crashEvery)
			client.Close()
			for _, where := range places() {
				position[where] = max(0, position[where]-chance.Int63n(50))
			}
			client = openReader(out, position)
		}
	}
	client.Close()
}

// commit commits where the reader is, then asks what is committed.
func commit(stop context.Context, client *kgo.Client, out *journal, position map[place]int64) {
	limit, cancel := context.WithTimeout(stop, 5*time.Second)
	defer cancel()
	admin, group := kadm.NewClient(client), fmt.Sprintf("chaos-%d", *id)
	wanted, named := kadm.Offsets{}, map[string]int64{}
	for where, offset := range position {
		if offset > 0 {
			wanted.AddOffset(where.topic, where.partition, offset, -1)
			named[where.String()] = offset
		}
	}
	if len(named) == 0 {
		return
	}
	what := line{"op": "commit", "id": *id, "s": out.now(), "offsets": named, "r": "ok"}
	answer, err := admin.CommitOffsets(limit, group, wanted)
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		what["r"], what["err"] = "info", err.Error()
	}
	what["e"] = out.now()
	out.write(what)
	asked := out.now()
	found, err := admin.FetchOffsets(limit, group)
	if err != nil || found.Error() != nil {
		return
	}
	known := map[string]int64{}
	for _, where := range places() {
		known[where.String()] = -1
		if offset, there := found.Lookup(where.topic, where.partition); there {
			known[where.String()] = offset.At
		}
	}
	out.write(line{"op": "committed", "id": *id, "s": asked, "e": out.now(), "offsets": known})
}

// readAll reads everything from the beginning; it gives up after a while.
func readAll(stop context.Context, out *journal) {
	position := beginnings()
	client := openReader(out, position)
	defer client.Close()
	giveUp := time.Now().Add(finalLimit)
	complete := false
	for !complete && time.Now().Before(giveUp) && stop.Err() == nil {
		if take(stop, client, out, position, 500*time.Millisecond) == 0 {
			complete = atEnd(stop, client, position)
		}
	}
	out.write(line{"op": "final", "id": *id, "at": out.now(), "complete": complete})
}

func atEnd(stop context.Context, client *kgo.Client, position map[place]int64) bool {
	limit, cancel := context.WithTimeout(stop, 10*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(limit, strings.Split(*topicList, ",")...)
	if err != nil || ends.Error() != nil {
		return false
	}
	for where, offset := range position {
		end, there := ends.Lookup(where.topic, where.partition)
		if !there || end.Offset > offset {
			return false
		}
	}
	return true
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
