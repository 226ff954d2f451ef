import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.ExponentialBackoffRetry;

/** Measures Curator's InterProcessMutex; commands as those of worker.c: "curator ROW COUNT". */
public class Curator {
    static String servers;
    static final List<CuratorFramework> clients = new ArrayList<>();
    static final AtomicLong fresh = new AtomicLong();

    static CuratorFramework client(int i) throws Exception {
        while (clients.size() <= i) {
            CuratorFramework c =
                CuratorFrameworkFactory.newClient(servers, 10000, 10000, new ExponentialBackoffRetry(100, 3));
            c.start();
            c.blockUntilConnected();
            clients.add(c);
        }
        return clients.get(i);
    }

    interface Cycle {
        void run() throws Exception;
    }

    static void cycle(InterProcessMutex mutex) throws Exception {
        if (!mutex.acquire(60, TimeUnit.SECONDS)) throw new IllegalStateException("no lock");
        mutex.release();
    }

    static double parallel(int n, long count, List<Cycle> cycles) throws Exception {
        List<Thread> threads = new ArrayList<>();
        long each = count / n;
        long start = System.nanoTime();
        for (int t = 0; t < n; t++) {
            Cycle cycle = cycles.get(t);
            Thread thread = new Thread(() -> {
                try {
                    for (long i = 0; i < each; i++) cycle.run();
                } catch (Exception e) {
                    e.printStackTrace();
                    System.exit(1);
                }
            });
            threads.add(thread);
            thread.start();
        }
        for (Thread thread : threads) thread.join();
        return (System.nanoTime() - start) / 1e3 / (each * n);
    }

    static double run(String row, long count) throws Exception {
        List<Cycle> cycles = new ArrayList<>();
        if (row.equals("same-key")) {
            InterProcessMutex mutex = new InterProcessMutex(client(0), "/curator/same");
            cycles.add(() -> cycle(mutex));
            return parallel(1, count, cycles);
        }
        if (row.equals("new-key") || row.startsWith("threads-")) {
            int n = row.equals("new-key") ? 1 : Integer.parseInt(row.substring(8));
            CuratorFramework c = client(0);
            for (int i = 0; i < n; i++)
                cycles.add(() -> cycle(new InterProcessMutex(c, "/curator/new-" + fresh.getAndIncrement())));
            return parallel(n, count, cycles);
        }
        if (row.startsWith("contended-")) {
            int n = Integer.parseInt(row.substring(10));
            for (int i = 0; i < n; i++) {
                InterProcessMutex mutex = new InterProcessMutex(client(i), "/curator/fight");
                cycles.add(() -> cycle(mutex));
            }
            return parallel(n, count, cycles);
        }
        InterProcessMutex a = new InterProcessMutex(client(0), "/curator/turns");
        InterProcessMutex b = new InterProcessMutex(client(1), "/curator/turns");
        boolean[] second = {false};
        cycles.add(() -> {
            cycle(second[0] ? b : a);
            second[0] = !second[0];
        });
        return parallel(1, count, cycles);
    }

    public static void main(String[] args) throws Exception {
        servers = args[0];
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String[] words = line.split(" ");
            System.out.printf(java.util.Locale.ROOT, "{\"us\":%.4f}%n", run(words[1], Long.parseLong(words[2])));
            System.out.flush();
        }
        System.exit(0);
    }
}
