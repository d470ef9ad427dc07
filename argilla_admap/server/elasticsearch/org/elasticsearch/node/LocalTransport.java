package org.elasticsearch.node;

import java.net.InetAddress;
import java.util.List;
import java.util.Map;
import org.elasticsearch.action.ActionListener;
import org.elasticsearch.cluster.node.DiscoveryNode;
import org.elasticsearch.common.component.AbstractLifecycleComponent;
import org.elasticsearch.common.network.HandlingTimeTracker;
import org.elasticsearch.common.transport.BoundTransportAddress;
import org.elasticsearch.common.transport.TransportAddress;
import org.elasticsearch.transport.ConnectTransportException;
import org.elasticsearch.transport.ConnectionProfile;
import org.elasticsearch.transport.Transport;
import org.elasticsearch.transport.TransportMessageListener;
import org.elasticsearch.transport.TransportStats;

/**
 * The transport of a node that is alone: it opens no port and connects to nobody.
 *
 * <p>The transport between nodes asks for no password. If it listened, any other user of the machine could join the
 * cluster, read every record and delete the indices. What a node says to itself needs no transport.
 */
final class LocalTransport extends AbstractLifecycleComponent implements Transport {

    private final ResponseHandlers responseHandlers = new ResponseHandlers();
    private final RequestHandlers requestHandlers = new RequestHandlers();
    // The node must have an address; nothing listens there.
    private final BoundTransportAddress address;

    LocalTransport() {
        TransportAddress nowhere = new TransportAddress(InetAddress.getLoopbackAddress(), 0);
        address = new BoundTransportAddress(new TransportAddress[] { nowhere }, nowhere);
    }

    @Override
    public void openConnection(DiscoveryNode node, ConnectionProfile profile, ActionListener<Connection> listener) {
        listener.onFailure(new ConnectTransportException(node, "the embedded node connects to no other"));
    }

    @Override
    public BoundTransportAddress boundAddress() {
        return address;
    }

    @Override
    public BoundTransportAddress boundRemoteIngressAddress() {
        return null;
    }

    @Override
    public Map<String, BoundTransportAddress> profileBoundAddresses() {
        return Map.of();
    }

    @Override
    public TransportAddress[] addressesFromString(String text) {
        return new TransportAddress[0];
    }

    @Override
    public List<String> getDefaultSeedAddresses() {
        return List.of();
    }

    @Override
    public void setMessageListener(TransportMessageListener listener) {}

    @Override
    public ResponseHandlers getResponseHandlers() {
        return responseHandlers;
    }

    @Override
    public RequestHandlers getRequestHandlers() {
        return requestHandlers;
    }

    @Override
    public TransportStats getStats() {
        long[] none = new long[HandlingTimeTracker.BUCKET_COUNT];
        return new TransportStats(0, 0, 0, 0, 0, 0, none, none, Map.of());
    }

    @Override
    protected void doStart() {}

    @Override
    protected void doStop() {}

    @Override
    protected void doClose() {}
}
