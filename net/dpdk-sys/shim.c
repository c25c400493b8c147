/* What DPDK has as inline functions or macros, and structures that only the C compiler knows, behind functions of
 * plain numbers and pointers. No logic: a burst is one call. See src/lib.rs for what each owes. */

/* Descriptors that DPDK's own thread waits for, whose functions have not changed since. */
#define ALLOW_EXPERIMENTAL_API

#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_interrupts.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

/* As in src/lib.rs. */
struct daedal_seen {
	struct rte_mbuf *mbuf;
	uint8_t *data;
	uint32_t bytes;
	uint16_t is_whole;
	uint8_t ip;
	uint8_t udp;
};

enum { SAYS_GOOD = 1, SAYS_BAD = 2 };

enum { MAKES_IP = 1, MAKES_UDP = 2, CHECKS_IP = 4, CHECKS_UDP = 8 };

struct daedal_port {
	char driver[64];
	uint8_t mac[6];
	uint16_t mtu;
	uint16_t receive_entries;
	uint16_t send_entries;
	uint16_t receive_queues_max;
	uint16_t send_queues_max;
	int32_t socket;
	uint32_t checksums;
};

enum { BURST = 64 };

int daedal_errno(void)
{
	return rte_errno;
}

int daedal_thread_is_known(void)
{
	return rte_lcore_id() != LCORE_ID_ANY;
}

int daedal_on_readable(int descriptor, void (*call)(void *), void *with)
{
	struct rte_intr_handle *handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);

	if (handle == NULL)
		return -ENOMEM;
	if (rte_intr_fd_set(handle, descriptor) != 0 ||
	    rte_intr_type_set(handle, RTE_INTR_HANDLE_EXT) != 0)
		return -rte_errno;
	return rte_intr_callback_register(handle, call, with);
}

/* A device by what was given for it, which may name several ports: the first. */
int daedal_port_of(const char *device, uint16_t *port)
{
	struct rte_dev_iterator it;

	if (rte_eth_iterator_init(&it, device) != 0)
		return -ENODEV;
	*port = rte_eth_iterator_next(&it);
	if (*port == RTE_MAX_ETHPORTS)
		return -ENODEV;
	rte_eth_iterator_cleanup(&it);
	return 0;
}

int daedal_port_remove(uint16_t port)
{
	struct rte_eth_dev_info info;
	int result = rte_eth_dev_info_get(port, &info);

	if (result == 0)
		result = rte_eth_dev_close(port);
	if (result == 0 && info.device != NULL)
		result = rte_dev_remove(info.device);
	return result;
}

/* An element's data starts `shift` bytes later than DPDK would have it. */
static void shift_one(struct rte_mempool *pool, void *shift, void *object, unsigned int index)
{
	struct rte_mbuf *mbuf = object;
	uint16_t bytes = (uint16_t)(uintptr_t)shift;

	(void)pool;
	(void)index;
	mbuf->buf_addr = (uint8_t *)mbuf->buf_addr + bytes;
	mbuf->buf_iova += bytes;
	mbuf->buf_len -= bytes;
}

struct rte_mempool *daedal_mempool(const char *name, unsigned int count, unsigned int cache,
	uint16_t bytes, uint16_t shift, int socket)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(name, count, cache, 0,
		(uint16_t)(RTE_PKTMBUF_HEADROOM + bytes + shift), socket);

	if (pool != NULL && shift != 0) {
		struct rte_pktmbuf_pool_private *told = rte_mempool_get_priv(pool);

		/* What PMDs take an element to hold. */
		told->mbuf_data_room_size -= shift;
		rte_mempool_obj_iter(pool, shift_one, (void *)(uintptr_t)shift);
	}
	return pool;
}

int daedal_mempool_is_whole(struct rte_mempool *pool)
{
	return rte_mempool_full(pool);
}

/* What is asked for of each, if a port has it. */
static const struct {
	uint32_t checksum;
	uint64_t send;
	uint64_t receive;
} offloads[] = {
	{ MAKES_IP, RTE_ETH_TX_OFFLOAD_IPV4_CKSUM, 0 },
	{ MAKES_UDP, RTE_ETH_TX_OFFLOAD_UDP_CKSUM, 0 },
	{ CHECKS_IP, 0, RTE_ETH_RX_OFFLOAD_IPV4_CKSUM },
	{ CHECKS_UDP, 0, RTE_ETH_RX_OFFLOAD_UDP_CKSUM },
};

int daedal_port_describe(uint16_t port, struct daedal_port *out)
{
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	int result = rte_eth_dev_info_get(port, &info);

	memset(out, 0, sizeof(*out));
	if (result != 0)
		return result;
	strncpy(out->driver, info.driver_name, sizeof(out->driver) - 1);
	out->receive_queues_max = info.max_rx_queues;
	out->send_queues_max = info.max_tx_queues;
	out->socket = rte_eth_dev_socket_id(port);
	for (unsigned int i = 0; i < RTE_DIM(offloads); i++) {
		if ((info.tx_offload_capa & offloads[i].send) != 0 ||
		    (info.rx_offload_capa & offloads[i].receive) != 0)
			out->checksums |= offloads[i].checksum;
	}
	if (rte_eth_macaddr_get(port, &mac) == 0)
		memcpy(out->mac, mac.addr_bytes, sizeof(out->mac));
	if (rte_eth_dev_get_mtu(port, &out->mtu) != 0)
		out->mtu = RTE_ETHER_MTU;
	return 0;
}

/* Spreads what comes over the queues, by addresses and ports, where the port can. What a port is asked for its queues
 * have. */
int daedal_port_configure(uint16_t port, uint16_t queues, struct daedal_port *out)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf;
	int result = rte_eth_dev_info_get(port, &info);

	if (result != 0)
		return result;
	memset(&conf, 0, sizeof(conf));
	conf.rx_adv_conf.rss_conf.rss_hf =
		(RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP) & info.flow_type_rss_offloads;
	if (queues > 1 && conf.rx_adv_conf.rss_conf.rss_hf != 0)
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	for (unsigned int i = 0; i < RTE_DIM(offloads); i++) {
		if ((out->checksums & offloads[i].checksum) != 0) {
			conf.txmode.offloads |= offloads[i].send;
			conf.rxmode.offloads |= offloads[i].receive;
		}
	}
	result = rte_eth_dev_configure(port, queues, queues, &conf);
	if (result == 0)
		result = rte_eth_dev_adjust_nb_rx_tx_desc(port, &out->receive_entries,
			&out->send_entries);
	return result;
}

int daedal_port_queue(uint16_t port, uint16_t queue, const struct daedal_port *it,
	struct rte_mempool *pool)
{
	int result = rte_eth_rx_queue_setup(port, queue, it->receive_entries,
		(unsigned int)it->socket, NULL, pool);

	/* Defaults, without the offload that frees faster: a PMD looks at each frame's reference count. */
	if (result == 0)
		result = rte_eth_tx_queue_setup(port, queue, it->send_entries,
			(unsigned int)it->socket, NULL);
	return result;
}

int daedal_port_is_up(uint16_t port)
{
	struct rte_eth_link link;

	memset(&link, 0, sizeof(link));
	return rte_eth_link_get_nowait(port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

/* Both: DPDK's "none", by which the sum that is in the frame is not right, nor the frame wrong: virtio's, of which only
 * the pseudo header is summed. */
static uint8_t said(uint64_t flags, uint64_t good, uint64_t bad)
{
	return (uint8_t)(((flags & good) != 0 ? SAYS_GOOD : 0) | ((flags & bad) != 0 ? SAYS_BAD : 0));
}

static void see(struct rte_mbuf *const *mbufs, struct daedal_seen *into, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];

		into[i].mbuf = mbuf;
		into[i].data = rte_pktmbuf_mtod(mbuf, uint8_t *);
		into[i].bytes = mbuf->data_len;
		into[i].is_whole = mbuf->nb_segs == 1;
		into[i].ip = said(mbuf->ol_flags, RTE_MBUF_F_RX_IP_CKSUM_GOOD,
			RTE_MBUF_F_RX_IP_CKSUM_BAD);
		into[i].udp = said(mbuf->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_GOOD,
			RTE_MBUF_F_RX_L4_CKSUM_BAD);
	}
}

uint16_t daedal_receive(uint16_t port, uint16_t queue, struct daedal_seen *into, uint16_t count)
{
	struct rte_mbuf *mbufs[BURST];
	uint16_t got = rte_eth_rx_burst(port, queue, mbufs, RTE_MIN(count, BURST));

	see(mbufs, into, got);
	return got;
}

uint16_t daedal_transmit(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, mbufs, count);
}

int daedal_take(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, count);
}

void daedal_free(struct rte_mbuf **mbufs, unsigned int count)
{
	rte_pktmbuf_free_bulk(mbufs, count);
}

uint8_t *daedal_data(struct rte_mbuf *mbuf)
{
	return rte_pktmbuf_mtod(mbuf, uint8_t *);
}

uint16_t daedal_room(struct rte_mbuf *mbuf)
{
	return (uint16_t)(mbuf->buf_len - RTE_PKTMBUF_HEADROOM);
}

/* For a mbuf that is to leave and come back: one reference more, data from `skip` bytes behind where they begin. */
void daedal_lend(struct rte_mbuf *mbuf, uint16_t skip, uint16_t bytes)
{
	mbuf->data_off = (uint16_t)(RTE_PKTMBUF_HEADROOM + skip);
	mbuf->data_len = bytes;
	mbuf->pkt_len = bytes;
	mbuf->nb_segs = 1;
	mbuf->next = NULL;
	mbuf->ol_flags = 0;
	rte_mbuf_refcnt_update(mbuf, 1);
}

/* For a mbuf with a datagram, to be sent by a port that was asked for these checksums. The sum of the pseudo header,
 * all that rte_eth_tx_prepare would write for them, is in it already: that call may not be given what is shared, as ours
 * is. The packet's type is told as net_vhost, where its peer wants whole sums, sends one that comes out as zero as it
 * is, unless it knows that it is UDP's: over IPv6 nobody takes that. */
void daedal_ask(struct rte_mbuf *mbuf, int is_v4, uint32_t checksums)
{
	mbuf->tx_offload = 0;
	mbuf->l2_len = sizeof(struct rte_ether_hdr);
	mbuf->l3_len = is_v4 ? sizeof(struct rte_ipv4_hdr) : sizeof(struct rte_ipv6_hdr);
	mbuf->packet_type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L4_UDP |
		(is_v4 ? RTE_PTYPE_L3_IPV4 : RTE_PTYPE_L3_IPV6);
	mbuf->ol_flags |= is_v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	if ((checksums & MAKES_IP) != 0)
		mbuf->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	if ((checksums & MAKES_UDP) != 0)
		mbuf->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM;
}

/* It did not leave. */
void daedal_unlend(struct rte_mbuf *mbuf)
{
	rte_mbuf_refcnt_update(mbuf, -1);
}

int daedal_is_back(const struct rte_mbuf *mbuf)
{
	if (rte_mbuf_refcnt_read(mbuf) != 1)
		return 0;
	/* What others read of it they have read before they let go. */
	rte_atomic_thread_fence(__ATOMIC_ACQUIRE);
	return 1;
}

void daedal_put_bytes(struct rte_mbuf *mbuf, uint16_t bytes)
{
	mbuf->data_len = bytes;
	mbuf->pkt_len = bytes;
}

struct rte_ring *daedal_ring(const char *name, unsigned int entries, int socket)
{
	return rte_ring_create(name, entries, socket, RING_F_SC_DEQ);
}

int daedal_ring_put(struct rte_ring *ring, struct rte_mbuf *mbuf)
{
	return rte_ring_enqueue(ring, mbuf);
}

uint16_t daedal_ring_take(struct rte_ring *ring, struct daedal_seen *into, uint16_t count)
{
	struct rte_mbuf *mbufs[BURST];
	unsigned int got = rte_ring_dequeue_burst(ring, (void **)mbufs,
		RTE_MIN((unsigned int)count, (unsigned int)BURST), NULL);

	see(mbufs, into, (uint16_t)got);
	return (uint16_t)got;
}

/* For tests: a copy of a frame, from another pool. */
struct rte_mbuf *daedal_copy(const struct rte_mbuf *mbuf, struct rte_mempool *pool)
{
	return rte_pktmbuf_copy(mbuf, pool, 0, UINT32_MAX);
}

/* For tests: has a frame say of its checksums what a port would. */
void daedal_say(struct rte_mbuf *mbuf, uint8_t ip, uint8_t udp)
{
	mbuf->ol_flags |= ((ip & SAYS_GOOD) != 0 ? RTE_MBUF_F_RX_IP_CKSUM_GOOD : 0) |
		((ip & SAYS_BAD) != 0 ? RTE_MBUF_F_RX_IP_CKSUM_BAD : 0) |
		((udp & SAYS_GOOD) != 0 ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0) |
		((udp & SAYS_BAD) != 0 ? RTE_MBUF_F_RX_L4_CKSUM_BAD : 0);
}
