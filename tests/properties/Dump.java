import java.io.*;
import java.nio.file.*;
import java.util.*;

/** Prints what java.util.Properties reads from each file of a directory: every UTF-16 unit as four hexadecimal digits. */
public class Dump {
    static String hex(String s) {
        StringBuilder b = new StringBuilder();
        for (char c : s.toCharArray())
            b.append(String.format("%04x", (int) c));
        return b.toString();
    }

    static void dump(PrintStream out, Path file) throws IOException {
        Properties p = new Properties();
        out.println("file " + file.getFileName());
        try (InputStream in = Files.newInputStream(file)) {
            p.load(in);
        } catch (IllegalArgumentException e) {
            out.println("malformed");
            return;
        }
        TreeMap<String, String> lines = new TreeMap<>();
        for (String key : p.stringPropertyNames())
            lines.put(hex(key), hex(p.getProperty(key)));
        lines.forEach((key, value) -> out.println(key + " " + value));
    }

    public static void main(String[] args) throws IOException {
        PrintStream out = new PrintStream(new BufferedOutputStream(System.out), false, "US-ASCII");
        File[] files = new File(args[0]).listFiles();
        Arrays.sort(files);
        for (File file : files)
            dump(out, file.toPath());
        out.flush();
    }
}
