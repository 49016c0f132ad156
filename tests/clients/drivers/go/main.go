// franz-go behind the common driver interface.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	filler = "the quick brown fox jumps over the lazy dog and runs away from the hounds of the old mill by the river"
	batch  = 200
)

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

var (
	flags      = flag.NewFlagSet("driver", flag.ExitOnError)
	bootstrap  = flags.String("bootstrap", "", "")
	topicList  = flags.String("topics", "", "separated by commas; produce takes one")
	partitions = flags.Int("partitions", 6, "")
	first      = flags.Int("first", 0, "number of the first record to produce")
	records    = flags.Int("records", 0, "how many to produce")
	codec      = flags.String("codec", "none", "")
	seed       = flags.Int("seed", 0, "")
	group      = flags.String("group", "", "")
	rate       = flags.Int("rate", 0, "records a second to consume at most; 0: no limit")
)

func main() {
	check(flags.Parse(os.Args[2:]))
	topics := strings.Split(*topicList, ",")
	switch os.Args[1] {
	case "create":
		create(topics)
	case "produce":
		produce(topics[0])
	case "consume":
		consume(topics)
	}
}

func create(topics []string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(*bootstrap))
	check(err)
	defer client.Close()
	created, err := kadm.NewClient(client).CreateTopics(context.Background(), int32(*partitions), 1, nil, topics...)
	check(err)
	check(created.Error())
}

func produce(topic string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(*bootstrap), kgo.ProducerBatchCompression(codecs[*codec]),
		kgo.ProducerLinger(20*time.Millisecond))
	check(err)
	defer client.Close()
	headers := []kgo.RecordHeader{{Key: "seed", Value: []byte(fmt.Sprint(*seed))}, {Key: "none", Value: nil}}
	var acknowledged atomic.Int64
	for number := *first; number < *first+*records; number++ {
		value := fmt.Sprintf("%d:%d:%d:%s", *seed, number, number/1000, filler[:number%100])
		record := &kgo.Record{Topic: topic, Key: []byte(fmt.Sprintf("k%d", number%1000)), Value: []byte(value), Headers: headers}
		client.Produce(context.Background(), record, func(_ *kgo.Record, err error) {
			check(err)
			acknowledged.Add(1)
		})
	}
	check(client.Flush(context.Background()))
	say(map[string]any{"produced": acknowledged.Load()})
}

func consume(topics []string) {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	say(map[string]any{"pid": os.Getpid()})
	client, err := kgo.NewClient(kgo.SeedBrokers(*bootstrap), kgo.ConsumerGroup(*group), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(time.Second), kgo.OnPartitionsAssigned(gained),
		kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost))
	check(err)
	began, count := time.Now(), 0
	for stop.Err() == nil {
		fetches := client.PollRecords(stop, batch)
		for _, failed := range fetches.Errors() {
			if !errors.Is(failed.Err, context.Canceled) {
				fmt.Fprintln(os.Stderr, failed.Topic, failed.Partition, failed.Err)
			}
		}
		if fetches.NumRecords() > 0 {
			if count == 0 {
				began = time.Now()
			}
			count += fetches.NumRecords()
			take(client, fetches.Records())
			client.AllowRebalance()
			hold(stop, began, count)
		} else {
			client.AllowRebalance()
		}
	}
	client.AllowRebalance()
	client.Close()
}

// What this member owns: franz-go rebalances cooperatively, so it is told only what changes.
var owned = map[string]bool{}

func gained(_ context.Context, _ *kgo.Client, changed map[string][]int32) { change(changed, true) }
func lost(_ context.Context, _ *kgo.Client, changed map[string][]int32)   { change(changed, false) }

func change(changed map[string][]int32, gained bool) {
	for topic, partitions := range changed {
		for _, partition := range partitions {
			if gained {
				owned[place(topic, partition)] = true
			} else {
				delete(owned, place(topic, partition))
			}
		}
	}
	say(map[string]any{"assigned": slices.AppendSeq([]string{}, maps.Keys(owned))})
}

func take(client *kgo.Client, taken []*kgo.Record) {
	var lines strings.Builder
	ends := map[string]int64{}
	for _, record := range taken {
		headers := [][]any{}
		for _, header := range record.Headers {
			if header.Value == nil {
				headers = append(headers, []any{header.Key, nil})
			} else {
				headers = append(headers, []any{header.Key, string(header.Value)})
			}
		}
		line, err := json.Marshal([]any{record.Topic, record.Partition, record.Offset, string(record.Key), string(record.Value), headers})
		check(err)
		lines.Write(line)
		lines.WriteByte('\n')
		ends[place(record.Topic, record.Partition)] = record.Offset + 1
	}
	fmt.Print(lines.String())
	say(map[string]any{"committing": ends})
	if err := client.CommitRecords(context.Background(), taken...); err != nil {
		say(map[string]any{"refused": err.Error()})
		return
	}
	say(map[string]any{"committed": ends})
}

func hold(stop context.Context, began time.Time, count int) {
	if *rate == 0 {
		return
	}
	ahead := time.Duration(float64(count)/float64(*rate)*float64(time.Second)) - time.Since(began)
	select {
	case <-stop.Done():
	case <-time.After(min(max(ahead, 0), time.Second)):
	}
}

func place(topic string, partition int32) string {
	return fmt.Sprintf("%s/%d", topic, partition)
}

// One line of JSON; standard output has no buffer here, so the line survives a SIGKILL.
func say(line any) {
	text, err := json.Marshal(line)
	check(err)
	fmt.Println(string(text))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
