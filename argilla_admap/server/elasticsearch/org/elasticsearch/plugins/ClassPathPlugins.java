package org.elasticsearch.plugins;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.elasticsearch.Build;
import org.elasticsearch.action.admin.cluster.node.info.PluginsAndModules;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.jdk.ModuleQualifiedExportsService;

/**
 * Plugins from the class path, instead of from the folders of an installation.
 *
 * <p>In this package because a loaded plugin's record is private to it.
 */
public final class ClassPathPlugins extends PluginsService {

    private final List<LoadedPlugin> loaded = new ArrayList<>();

    public ClassPathPlugins(Settings settings, Environment environment, List<Plugin> plugins) {
        // No folders: the super class must not look for an installation's modules.
        super(settings, environment.configFile(), null, null);
        for (Plugin plugin : plugins) {
            String name = plugin.getClass().getName();
            String version = Build.current().version();
            String java = System.getProperty("java.specification.version");
            loaded.add(new LoadedPlugin(
                new PluginDescriptor(name, "on the class path", "1", version, java, name, null, List.of(), false, false, false, false),
                plugin
            ));
        }
    }

    @Override
    protected List<LoadedPlugin> plugins() {
        return loaded;
    }

    @Override
    public PluginsAndModules info() {
        List<PluginRuntimeInfo> infos = loaded.stream().map(one -> new PluginRuntimeInfo(one.descriptor())).toList();
        return new PluginsAndModules(infos, List.of());
    }

    @Override
    protected void addServerExportsService(Map<String, List<ModuleQualifiedExportsService>> services) {
        // On a class path there are no modules whose packages could be opened.
    }
}
