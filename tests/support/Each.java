// java Each.java FILE...: compiles programs whose class is Sample, and runs them one after another in
// this process, as to start Java and its compiler takes most of the time; what a.java prints goes to a.out.
import java.io.IOException;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;

public class Each {
    public static void main(String[] names) throws Exception {
        for (String name : names) {
            Path classes = Files.createDirectory(Path.of(name.replace(".java", ".classes")));
            compile(Path.of(name), classes);
            try (PrintStream output = new PrintStream(name.replace(".java", ".out"));
                    URLClassLoader loader = new URLClassLoader(new URL[] {classes.toUri().toURL()})) {
                System.setOut(output);
                loader.loadClass("Sample").getMethod("main", String[].class)
                    .invoke(null, (Object) new String[0]);
            }
        }
    }

    private static void compile(Path file, Path classes) {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        JavaFileObject source = new SimpleJavaFileObject(file.toUri(), JavaFileObject.Kind.SOURCE) {
            @Override
            public CharSequence getCharContent(boolean ignoreEncodingErrors) throws IOException {
                return Files.readString(file);
            }

            @Override
            public boolean isNameCompatible(String name, JavaFileObject.Kind kind) {
                return true; // `java sample.java` does not ask how a file is named, either
            }
        };
        List<String> options = List.of("-d", classes.toString());
        if (!compiler.getTask(null, null, null, options, null, List.of(source)).call()) {
            throw new IllegalArgumentException(file + " does not compile");
        }
    }
}
