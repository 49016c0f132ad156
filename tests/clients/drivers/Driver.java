// Kafka's own Java clients behind the common driver interface.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Driver {
    static final String FILLER =
        "the quick brown fox jumps over the lazy dog and runs away from the hounds of the old mill by the river";
    static final int BATCH = 200;
    static volatile boolean stopped = false;

    public static void main(String[] args) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int i = 1; i + 1 < args.length; i += 2) options.put(args[i].substring(2), args[i + 1]);
        switch (args[0]) {
            case "create" -> create(options);
            case "produce" -> produce(options);
            case "consume" -> consume(options);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    static void create(Map<String, String> options) throws Exception {
        int partitions = Integer.parseInt(options.get("partitions"));
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", options.get("bootstrap")))) {
            admin.createTopics(topics(options).stream().map(name -> new NewTopic(name, partitions, (short) 1)).toList()).all().get();
        }
    }

    static void produce(Map<String, String> options) throws Exception {
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", options.get("bootstrap"),
            "compression.type", options.get("codec"),
            "linger.ms", 20);
        String seed = options.get("seed");
        List<Header> headers = List.of(new RecordHeader("seed", seed.getBytes()), new RecordHeader("none", (byte[]) null));
        int first = Integer.parseInt(options.get("first"));
        int records = Integer.parseInt(options.get("records"));
        List<Future<RecordMetadata>> sent = new ArrayList<>(records);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (int number = first; number < first + records; number++) {
                String value = seed + ":" + number + ":" + number / 1000 + ":" + FILLER.substring(0, number % 100);
                sent.add(producer.send(new ProducerRecord<>(topics(options).get(0), null, "k" + number % 1000, value, headers)));
            }
        }
        for (Future<RecordMetadata> each : sent) each.get();
        say("{\"produced\":" + sent.size() + "}");
    }

    static void consume(Map<String, String> options) throws Exception {
        // On SIGTERM the JVM would end with 143: it waits until the consumer has left its group, and ends with 0.
        CountDownLatch left = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopped = true;
            try {
                Runtime.getRuntime().halt(left.await(20, TimeUnit.SECONDS) ? 0 : 1);
            } catch (InterruptedException interrupted) {
                Runtime.getRuntime().halt(1);
            }
        }));
        say("{\"pid\":" + ProcessHandle.current().pid() + "}");
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", options.get("bootstrap"),
            "group.id", options.get("group"),
            "auto.offset.reset", "earliest",
            "enable.auto.commit", false,
            "session.timeout.ms", 6000,
            "heartbeat.interval.ms", 1000,
            "max.poll.records", BATCH,
            "group.protocol", options.getOrDefault("protocol", "classic"));
        int rate = Integer.parseInt(options.getOrDefault("rate", "0"));
        long began = 0, count = 0;
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(topics(options), new Listener());
            while (!stopped) {
                Map<TopicPartition, OffsetAndMetadata> ends = new HashMap<>();
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    if (count++ == 0) began = System.nanoTime();
                    ends.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
                    print(record);
                }
                if (ends.isEmpty()) continue;
                commit(consumer, ends);
                long ahead = rate == 0 ? 0 : count * 1000L / rate - (System.nanoTime() - began) / 1_000_000;
                if (ahead > 0 && !stopped) Thread.sleep(Math.min(ahead, 1000));
            }
        }
        left.countDown();
    }

    static void commit(KafkaConsumer<String, String> consumer, Map<TopicPartition, OffsetAndMetadata> ends) {
        String places = ends.entrySet().stream()
            .map(end -> "\"" + place(end.getKey()) + "\":" + end.getValue().offset())
            .collect(Collectors.joining(",", "{", "}"));
        say("{\"committing\":" + places + "}");
        try {
            consumer.commitSync(ends);
            say("{\"committed\":" + places + "}");
        } catch (CommitFailedException | RebalanceInProgressException refused) {
            say("{\"refused\":\"" + refused.getClass().getSimpleName() + "\"}");
        }
    }

    static class Listener implements ConsumerRebalanceListener {
        public void onPartitionsRevoked(Collection<TopicPartition> revoked) {}

        public void onPartitionsAssigned(Collection<TopicPartition> assigned) {
            say(assigned.stream().map(each -> "\"" + place(each) + "\"").collect(Collectors.joining(",", "{\"assigned\":[", "]}")));
        }
    }

    static String place(TopicPartition partition) {
        return partition.topic() + "/" + partition.partition();
    }

    static List<String> topics(Map<String, String> options) {
        return Arrays.asList(options.get("topics").split(","));
    }

    /** Keys, values and headers of this test need no escapes in JSON. */
    static void print(ConsumerRecord<String, String> record) {
        String headers = Arrays.stream(record.headers().toArray())
            .map(each -> "[\"" + each.key() + "\"," + (each.value() == null ? "null" : "\"" + text(each.value()) + "\"") + "]")
            .collect(Collectors.joining(",", "[", "]"));
        OUT.append("[\"").append(record.topic()).append("\",").append(record.partition()).append(',').append(record.offset())
            .append(",\"").append(record.key()).append("\",\"").append(record.value()).append("\",").append(headers).append("]\n");
    }

    static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    static final StringBuilder OUT = new StringBuilder();

    /** Prints the line, and the records before it, so that they survive a SIGKILL. */
    static void say(String line) {
        OUT.append(line).append('\n');
        byte[] bytes = OUT.toString().getBytes(StandardCharsets.UTF_8);
        System.out.write(bytes, 0, bytes.length);
        System.out.flush();
        OUT.setLength(0);
    }
}
