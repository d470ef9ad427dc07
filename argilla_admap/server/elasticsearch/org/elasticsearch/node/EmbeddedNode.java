package org.elasticsearch.node;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.plugins.ClassPathPlugins;
import org.elasticsearch.plugins.PluginsService;

/**
 * One Elasticsearch node on loopback, without an installation: {@code EmbeddedNode HOME PORT}.
 *
 * <p>The password that callers must send is read from the environment (ADMAP_ENGINE_PASSWORD), so that no list of
 * processes shows it. In this package because the node's constructor that takes a provider is private to it.
 */
public final class EmbeddedNode {

    private EmbeddedNode() {}

    public static void main(String[] args) throws Exception {
        if (args.length != 2) {
            System.err.println("usage: EmbeddedNode HOME PORT");
            System.exit(2);
        }
        String password = System.getenv("ADMAP_ENGINE_PASSWORD");
        if (password == null || password.isEmpty()) {
            System.err.println("ADMAP_ENGINE_PASSWORD is not set");
            System.exit(2);
        }
        LogConfigurator.configureESLogging();

        Path home = Path.of(args[0]).toAbsolutePath();
        Path config = Files.createDirectories(home.resolve("config"));
        Settings settings = Settings.builder()
            .put("path.home", home.toString())
            .put("path.data", Files.createDirectories(home.resolve("data")).toString())
            .put("path.logs", Files.createDirectories(home.resolve("logs")).toString())
            .put("cluster.name", "argilla-admap")
            .put("node.name", "embedded")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", args[1])
            .put("transport.type", GuardedNetwork.TRANSPORT)
            // A nearly full disk must not turn the indices read-only: the database beside them would go on growing.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            // A write to a data set without an index must fail, and not make an index without a mapping.
            .put("action.auto_create_index", false)
            .build();
        Environment environment = InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), config, () -> "embedded");

        NodeServiceProvider provider = new NodeServiceProvider() {
            @Override
            PluginsService newPluginService(Environment ignored, Settings known) {
                return new ClassPathPlugins(known, environment, List.of(new GuardedNetwork(password), new ArgillaSupport()));
            }
        };
        Node node = new Node(NodeConstruction.prepareConstruction(environment, provider, true));
        CountDownLatch closed = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception error) {
                error.printStackTrace();
            } finally {
                closed.countDown();
            }
        }, "close-node"));
        try {
            node.start();
        } catch (Exception error) {
            error.printStackTrace();
            System.exit(1);
        }
        closed.await();
    }
}
