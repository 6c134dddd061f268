/* What a guest's frames may reach: every kind of address that only the host should, in every form
 * that a frame can give it. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "../machine/cm.h"
#include "net/filter.h"
#include "net/flows.h"

#define TCP 6
#define UDP 17

struct world {
    const char *own;      /* the host's one address */
    struct net_flow flow; /* that spoke first */
    uint8_t frame[2048];
    size_t len;
};

static struct net_address parse(const char *text)
{
    struct net_address a = {.b = {[10] = 0xff, 0xff}};
    if (!strchr(text, ':'))
        assert_int_equal(inet_pton(AF_INET, text, a.b + 12), 1);
    else
        assert_int_equal(inet_pton(AF_INET6, text, a.b), 1);
    return a;
}

static bool own(void *arg, const struct net_address *a)
{
    const struct world *w = arg;
    struct net_address mine = parse(w->own);
    return !memcmp(&mine, a, sizeof mine);
}

static bool answers(void *arg, const struct net_flow *f)
{
    const struct world *w = arg;
    return w->flow.protocol == f->protocol && w->flow.port == f->port &&
           w->flow.guest_port == f->guest_port && !memcmp(&w->flow.peer, &f->peer, sizeof f->peer);
}

static struct net_rules rules(struct world *w)
{
    return (struct net_rules){.own = own, .answers = answers, .arg = w};
}

/* A packet between two addresses, its ports 4000 and `port`; `first` is an ICMP packet's type. */
static void packet(struct world *w, const char *from, const char *to, uint8_t protocol,
                   uint16_t port, uint8_t first)
{
    bool v6 = strchr(to, ':');
    struct net_address f = parse(from), t = parse(to);
    uint8_t *p = w->frame, *ip = p + 14;
    memset(p, 0, sizeof w->frame);
    memset(p, 0x52, 12);
    p[12] = v6 ? 0x86 : 8;
    p[13] = v6 ? 0xdd : 0;
    if (v6) {
        ip[0] = 0x60;
        ip[5] = 20;
        ip[6] = protocol;
        ip[7] = 255;
        memcpy(ip + 8, f.b, 16);
        memcpy(ip + 24, t.b, 16);
    } else {
        ip[0] = 0x45;
        ip[3] = 40;
        ip[8] = 64;
        ip[9] = protocol;
        memcpy(ip + 12, f.b + 12, 4);
        memcpy(ip + 16, t.b + 12, 4);
    }
    uint8_t *inside = ip + (v6 ? 40 : 20);
    if (protocol == TCP || protocol == UDP) {
        inside[0] = 4000 >> 8;
        inside[1] = 4000 & 255;
        inside[2] = (uint8_t)(port >> 8);
        inside[3] = (uint8_t)port;
    } else {
        inside[0] = first;
    }
    w->len = 14u + (v6 ? 40 : 20) + 20;
}

static enum net_verdict to(struct world *w, const struct net_rules *r, const char *address,
                           uint8_t protocol, uint16_t port)
{
    packet(w, strchr(address, ':') ? "fec0::15" : "10.0.2.15", address, protocol, port, 0);
    return net_filter(r, w->frame, w->len);
}

struct expected {
    const char *address;
    enum net_verdict closed, host, link; /* by default, and with one of the names */
};

static const struct expected addresses[] = {
    {"8.8.8.8", NET_PASS, NET_PASS, NET_PASS},
    {"192.168.7.9", NET_PASS, NET_PASS, NET_PASS},
    {"10.0.2.7", NET_PASS, NET_PASS, NET_PASS},
    {"2001:db8::1", NET_PASS, NET_PASS, NET_PASS},
    {"fd00::1", NET_PASS, NET_PASS, NET_PASS},
    {"64:ff9b::808:808", NET_PASS, NET_PASS, NET_PASS},
    /* the host */
    {"127.0.0.1", NET_REFUSE, NET_PASS, NET_REFUSE},
    {"127.255.3.4", NET_REFUSE, NET_PASS, NET_REFUSE},
    {"10.0.2.2", NET_REFUSE, NET_PASS, NET_REFUSE},
    {"::1", NET_REFUSE, NET_PASS, NET_REFUSE},
    {"fec0::2", NET_REFUSE, NET_PASS, NET_REFUSE},
    {"fec0::77", NET_REFUSE, NET_PASS, NET_REFUSE},
    {"64:ff9b::7f00:1", NET_REFUSE, NET_PASS, NET_REFUSE},
    {"2002:7f00:1::1", NET_REFUSE, NET_PASS, NET_REFUSE},
    /* its link */
    {"169.254.169.254", NET_REFUSE, NET_REFUSE, NET_PASS},
    {"169.254.0.1", NET_REFUSE, NET_REFUSE, NET_PASS},
    {"100.100.100.200", NET_REFUSE, NET_REFUSE, NET_PASS},
    {"168.63.129.16", NET_REFUSE, NET_REFUSE, NET_PASS},
    {"fe80::1", NET_REFUSE, NET_REFUSE, NET_PASS},
    {"febf::1", NET_REFUSE, NET_REFUSE, NET_PASS},
    {"fd00:ec2::254", NET_REFUSE, NET_REFUSE, NET_PASS},
    {"64:ff9b::a9fe:a9fe", NET_REFUSE, NET_REFUSE, NET_PASS},
    {"2002:a9fe:a9fe::", NET_REFUSE, NET_REFUSE, NET_PASS},
    /* nowhere */
    {"0.0.0.0", NET_DROP, NET_DROP, NET_DROP},
    {"0.1.2.3", NET_DROP, NET_DROP, NET_DROP},
    {"224.0.0.251", NET_DROP, NET_DROP, NET_DROP},
    {"240.0.0.1", NET_DROP, NET_DROP, NET_DROP},
    {"255.255.255.255", NET_DROP, NET_DROP, NET_DROP},
    {"::", NET_DROP, NET_DROP, NET_DROP},
    {"::2", NET_DROP, NET_DROP, NET_DROP},
    {"::ffff:127.0.0.1", NET_DROP, NET_DROP, NET_DROP},
    {"::ffff:8.8.8.8", NET_DROP, NET_DROP, NET_DROP},
    {"::127.0.0.1", NET_DROP, NET_DROP, NET_DROP},
    {"::ffff:0:127.0.0.1", NET_DROP, NET_DROP, NET_DROP},
    {"ff02::fb", NET_DROP, NET_DROP, NET_DROP},
    {"ff02::1", NET_DROP, NET_DROP, NET_DROP},
    {"fe80::2", NET_DROP, NET_DROP, NET_DROP},
};

static void each_address(void **state)
{
    struct world w = {.own = "192.0.2.1"};
    struct net_rules shut = rules(&w), host = rules(&w), link = rules(&w);
    host.host_loopback = true;
    link.link_local = true;
    for (unsigned i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        const struct expected *e = &addresses[i];
        for (unsigned p = 0; p < 2; p++) {
            uint8_t protocol = p ? UDP : TCP;
            if (to(&w, &shut, e->address, protocol, 80) != e->closed ||
                to(&w, &host, e->address, protocol, 80) != e->host ||
                to(&w, &link, e->address, protocol, 80) != e->link)
                fail_msg("%s, protocol %u: %d %d %d", e->address, protocol,
                         to(&w, &shut, e->address, protocol, 80),
                         to(&w, &host, e->address, protocol, 80),
                         to(&w, &link, e->address, protocol, 80));
        }
    }
}

static void echo_follows_the_address(void **state)
{
    struct world w = {.own = "192.0.2.1"};
    struct net_rules r = rules(&w);
    assert_int_equal(to(&w, &r, "8.8.8.8", 1, 0), NET_PASS);
    assert_int_equal(to(&w, &r, "10.0.2.2", 1, 0), NET_PASS);
    assert_int_equal(to(&w, &r, "127.0.0.1", 1, 0), NET_REFUSE);
    assert_int_equal(to(&w, &r, "192.0.2.1", 1, 0), NET_REFUSE);
    assert_int_equal(to(&w, &r, "255.255.255.255", 1, 0), NET_DROP);
    packet(&w, "fec0::15", "fec0::2", 58, 0, 128);
    assert_int_equal(net_filter(&r, w.frame, w.len), NET_PASS);
    packet(&w, "fec0::15", "2001:db8::1", 58, 0, 128);
    assert_int_equal(net_filter(&r, w.frame, w.len), NET_DROP);
}

static void own_addresses(void **state)
{
    struct world w = {.own = "203.0.113.5"};
    struct net_rules r = rules(&w);
    assert_int_equal(to(&w, &r, "203.0.113.5", TCP, 22), NET_REFUSE);
    assert_int_equal(to(&w, &r, "64:ff9b::203.0.113.5", TCP, 22), NET_REFUSE);
    assert_int_equal(to(&w, &r, "2002:cb00:7105::1", TCP, 22), NET_REFUSE);
    w.own = "2001:db8::5"; /* they change */
    assert_int_equal(to(&w, &r, "203.0.113.5", TCP, 22), NET_PASS);
    assert_int_equal(to(&w, &r, "2001:db8::5", TCP, 22), NET_REFUSE);
    w.own = "169.254.7.7"; /* both: it takes both names */
    r.link_local = true;
    assert_int_equal(to(&w, &r, "169.254.7.7", TCP, 22), NET_REFUSE);
    r.host_loopback = true;
    assert_int_equal(to(&w, &r, "169.254.7.7", TCP, 22), NET_PASS);
}

static void services_of_the_network(void **state)
{
    struct world w = {.own = "127.0.0.53"};
    struct net_rules r = rules(&w);
    assert_int_equal(to(&w, &r, "10.0.2.3", UDP, 53), NET_PASS);
    assert_int_equal(to(&w, &r, "10.0.2.3", TCP, 53), NET_PASS);
    assert_int_equal(to(&w, &r, "10.0.2.3", TCP, 80), NET_REFUSE);
    assert_int_equal(to(&w, &r, "fec0::3", UDP, 53), NET_PASS);
    assert_int_equal(to(&w, &r, "fec0::3", UDP, 54), NET_REFUSE);
    assert_int_equal(to(&w, &r, "255.255.255.255", UDP, 67), NET_PASS);
    assert_int_equal(to(&w, &r, "10.0.2.2", UDP, 67), NET_PASS);
    assert_int_equal(to(&w, &r, "10.0.2.2", UDP, 69), NET_DROP);
    assert_int_equal(to(&w, &r, "255.255.255.255", TCP, 67), NET_DROP);
    assert_int_equal(to(&w, &r, "ff02::1:2", UDP, 547), NET_PASS);
    assert_int_equal(to(&w, &r, "ff02::1:3", UDP, 547), NET_DROP);
    static const uint8_t discovery[] = {133, 135, 136};
    for (unsigned i = 0; i < 3; i++) {
        packet(&w, "fe80::9", "ff02::1:ff00:2", 58, 0, discovery[i]);
        assert_int_equal(net_filter(&r, w.frame, w.len), NET_PASS);
        w.frame[14 + 7] = 254; /* from beyond the link */
        assert_int_equal(net_filter(&r, w.frame, w.len), NET_DROP);
    }
    packet(&w, "fe80::9", "ff02::1", 58, 0, 134); /* a router's words are the router's */
    assert_int_equal(net_filter(&r, w.frame, w.len), NET_DROP);
}

static void fragments_and_options(void **state)
{
    struct world w = {.own = "192.0.2.1"};
    struct net_rules r = rules(&w);
    to(&w, &r, "8.8.8.8", UDP, 80);
    w.frame[14 + 6] = 0x20; /* more to come */
    assert_int_equal(net_filter(&r, w.frame, w.len), NET_PASS);
    w.flow = (struct net_flow){parse("127.0.0.1"), 80, 4000, UDP};
    assert_int_equal(to(&w, &r, "127.0.0.1", UDP, 80), NET_PASS);
    w.frame[14 + 6] = 0x20; /* its ports may be another's: closed */
    assert_int_equal(net_filter(&r, w.frame, w.len), NET_REFUSE);
    w.frame[14 + 6] = 0;
    w.frame[14 + 7] = 1;
    assert_int_equal(net_filter(&r, w.frame, w.len), NET_REFUSE);
    to(&w, &r, "10.0.2.3", UDP, 53);
    w.frame[14 + 7] = 1;
    assert_int_equal(net_filter(&r, w.frame, w.len), NET_REFUSE);

    to(&w, &r, "127.0.0.1", TCP, 80);
    w.flow.protocol = 0;
    w.frame[14] = 0x46; /* a longer header does not hide the address */
    memset(w.frame + 14 + 20, 1, 4);
    assert_int_equal(net_filter(&r, w.frame, w.len), NET_REFUSE);
    to(&w, &r, "8.8.8.8", TCP, 80);
    memmove(w.frame + 14 + 24, w.frame + 14 + 20, 16);
    w.frame[14] = 0x46;
    memcpy(w.frame + 14 + 20, "\1\1\1\0", 4);
    assert_int_equal(net_filter(&r, w.frame, w.len), NET_PASS);
    memcpy(w.frame + 14 + 20, "\1\203\3\4", 4); /* loose source route */
    assert_int_equal(net_filter(&r, w.frame, w.len), NET_DROP);
    memcpy(w.frame + 14 + 20, "\1\211\3\4", 4); /* strict */
    assert_int_equal(net_filter(&r, w.frame, w.len), NET_DROP);
    memcpy(w.frame + 14 + 20, "\7\0\1\1", 4); /* a length that leads nowhere */
    assert_int_equal(net_filter(&r, w.frame, w.len), NET_DROP);
}

static void other_frames(void **state)
{
    struct world w = {.own = "192.0.2.1"};
    struct net_rules r = rules(&w);
    to(&w, &r, "8.8.8.8", TCP, 80);
    w.frame[14] = 0x65; /* not what the frame says it is */
    assert_int_equal(net_filter(&r, w.frame, w.len), NET_DROP);
    static const uint16_t types[] = {0x8100, 0x88a8, 0x88f8, 0x0600, 0x8864, 0, 20};
    for (unsigned i = 0; i < sizeof types / sizeof *types; i++) {
        to(&w, &r, "8.8.8.8", TCP, 80);
        w.frame[12] = (uint8_t)(types[i] >> 8);
        w.frame[13] = (uint8_t)types[i];
        assert_int_equal(net_filter(&r, w.frame, w.len), NET_DROP);
    }
    static const uint8_t headers[] = {0, 43, 44, 50, 51, 60, 135, 4, 41};
    for (unsigned i = 0; i < sizeof headers; i++) {
        assert_int_equal(to(&w, &r, "2001:db8::1", headers[i], 0), NET_DROP);
        assert_int_equal(to(&w, &r, "8.8.8.8", headers[i] ? headers[i] : 2, 0), NET_DROP);
    }
    to(&w, &r, "8.8.8.8", TCP, 80);
    for (size_t len = 0; len < w.len; len++)
        assert_int_equal(net_filter(&r, w.frame, len), NET_DROP);
    w.frame[12] = 8;
    w.frame[13] = 6;
    assert_int_equal(net_filter(&r, w.frame, 42), NET_PASS);
    assert_int_equal(net_filter(&r, w.frame, 41), NET_DROP);
}

/* A client on the host of a published port: its peer may answer, to that port. */
static void answers_to_who_spoke_first(void **state)
{
    static const char *const hosts[] = {"192.0.2.1", "10.0.2.2", "127.0.0.1"};
    struct world w = {.own = "192.0.2.1"};
    struct net_rules r = rules(&w);
    for (unsigned i = 0; i < 3; i++) {
        packet(&w, hosts[i], "10.0.2.15", UDP, 53, 0); /* from port 4000 */
        assert_true(net_filter_opens(&r, w.frame, w.len, &w.flow));
        packet(&w, "10.0.2.15", hosts[i], UDP, 4000, 0);
        w.frame[14 + 20] = 0;
        w.frame[14 + 21] = 53;
        assert_int_equal(net_filter(&r, w.frame, w.len), NET_PASS);
        w.frame[14 + 9] = TCP;
        assert_int_equal(net_filter(&r, w.frame, w.len), NET_REFUSE);
        w.frame[14 + 9] = UDP;
        w.frame[14 + 21] = 54;
        assert_int_equal(net_filter(&r, w.frame, w.len), NET_REFUSE);
        w.frame[14 + 21] = 53;
        w.frame[14 + 23]++;
        assert_int_equal(net_filter(&r, w.frame, w.len), NET_REFUSE);
    }
    packet(&w, "8.8.8.8", "10.0.2.15", UDP, 53, 0);
    assert_false(net_filter_opens(&r, w.frame, w.len, &w.flow));
}

static void flows(void **state)
{
    static struct net_flows f;
    struct net_flow a = {parse("192.0.2.1"), 4000, 53, UDP}, b = a;
    assert_false(net_flows_has(&f, &a));
    net_flows_add(&f, &a);
    assert_true(net_flows_has(&f, &a));
    b.guest_port = 54;
    assert_false(net_flows_has(&f, &b));
    for (unsigned i = 0; i < 5 * NET_FLOWS; i++) {
        b.port = (uint16_t)i;
        net_flows_add(&f, &b);
        assert_true(net_flows_has(&f, &b));
    }
}

static uint16_t sum(const uint8_t *p, size_t len, uint32_t s)
{
    for (size_t i = 0; i < len; i++)
        s += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)s;
}

static void refusals(void **state)
{
    struct world w = {.own = "192.0.2.1"};
    struct net_rules r = rules(&w);
    uint8_t out[NET_REFUSAL_MAX];
    to(&w, &r, "127.0.0.1", TCP, 80);
    assert_int_equal(net_refusal(w.frame, w.len, out), 14 + 20 + 8 + 28);
    assert_memory_equal(out, w.frame + 6, 6);
    assert_int_equal(sum(out + 14, 20, 0), 0xffff);
    assert_int_equal(sum(out + 34, 36, 0), 0xffff);
    assert_memory_equal(out + 30, "\12\0\2\17", 4); /* to the guest */
    assert_memory_equal(out + 34, "\3\15", 2);
    assert_memory_equal(out + 42, w.frame + 14, 28);

    to(&w, &r, "::1", TCP, 80);
    assert_int_equal(net_refusal(w.frame, w.len, out), 14 + 40 + 8 + 60);
    assert_int_equal(sum(out + 54, 68, sum(out + 22, 32, 68 + 58)), 0xffff);
    assert_memory_equal(out + 54, "\1\1", 2);
    to(&w, &r, "127.0.0.1", 1, 0); /* never about ICMP (RFC 1122, 3.2.2) */
    assert_int_equal(net_refusal(w.frame, w.len, out), 0);
    to(&w, &r, "127.0.0.1", UDP, 80);
    w.frame[14 + 7] = 1; /* nor about later fragments */
    assert_int_equal(net_refusal(w.frame, w.len, out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address),
        cmocka_unit_test(echo_follows_the_address),
        cmocka_unit_test(own_addresses),
        cmocka_unit_test(services_of_the_network),
        cmocka_unit_test(fragments_and_options),
        cmocka_unit_test(other_frames),
        cmocka_unit_test(answers_to_who_spoke_first),
        cmocka_unit_test(flows),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
