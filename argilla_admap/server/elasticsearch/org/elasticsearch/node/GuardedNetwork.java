package org.elasticsearch.node;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.Map;
import java.util.function.BiConsumer;
import java.util.function.Supplier;
import org.elasticsearch.common.io.stream.NamedWriteableRegistry;
import org.elasticsearch.common.network.NetworkService;
import org.elasticsearch.common.settings.ClusterSettings;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.common.util.BigArrays;
import org.elasticsearch.common.util.PageCacheRecycler;
import org.elasticsearch.common.util.concurrent.ThreadContext;
import org.elasticsearch.http.HttpPreRequest;
import org.elasticsearch.http.HttpRouteStats;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.indices.breaker.CircuitBreakerService;
import org.elasticsearch.rest.RestChannel;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.telemetry.tracing.Tracer;
import org.elasticsearch.threadpool.ThreadPool;
import org.elasticsearch.transport.Transport;
import org.elasticsearch.transport.netty4.Netty4Plugin;
import org.elasticsearch.xcontent.NamedXContentRegistry;

/**
 * HTTP for callers with the password, and no transport to other nodes: other users of the machine reach loopback too, and
 * the index holds the texts of the records.
 */
public final class GuardedNetwork extends Netty4Plugin {

    static final String TRANSPORT = "local";

    private final byte[] expected;

    GuardedNetwork(String password) {
        byte[] pair = ("admap:" + password).getBytes(StandardCharsets.UTF_8);
        expected = ("Basic " + Base64.getEncoder().encodeToString(pair)).getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public Map<String, Supplier<Transport>> getTransports(
        Settings settings,
        ThreadPool threadPool,
        PageCacheRecycler recycler,
        CircuitBreakerService breakers,
        NamedWriteableRegistry writeables,
        NetworkService network
    ) {
        return Map.of(TRANSPORT, LocalTransport::new);
    }

    @Override
    public Map<String, Supplier<HttpServerTransport>> getHttpTransports(
        Settings settings,
        ThreadPool threadPool,
        BigArrays bigArrays,
        PageCacheRecycler recycler,
        CircuitBreakerService breakers,
        NamedXContentRegistry registry,
        NetworkService network,
        HttpServerTransport.Dispatcher dispatcher,
        BiConsumer<HttpPreRequest, ThreadContext> perRequest,
        ClusterSettings clusterSettings,
        Tracer tracer
    ) {
        return super.getHttpTransports(
            settings, threadPool, bigArrays, recycler, breakers, registry, network, guard(dispatcher), perRequest, clusterSettings, tracer
        );
    }

    private HttpServerTransport.Dispatcher guard(HttpServerTransport.Dispatcher behind) {
        return new HttpServerTransport.Dispatcher() {
            @Override
            public void dispatchRequest(RestRequest request, RestChannel channel, ThreadContext context) {
                String given = request.header("Authorization");
                // Takes the same time however much of the password is right.
                if (given != null && MessageDigest.isEqual(given.getBytes(StandardCharsets.UTF_8), expected)) {
                    behind.dispatchRequest(request, channel, context);
                } else {
                    channel.sendResponse(new RestResponse(RestStatus.UNAUTHORIZED, "a password is needed\n"));
                }
            }

            @Override
            public void dispatchBadRequest(RestChannel channel, ThreadContext context, Throwable cause) {
                behind.dispatchBadRequest(channel, context, cause);
            }

            @Override
            public Map<String, HttpRouteStats> getStats() {
                return behind.getStats();
            }
        };
    }
}
