/* The network card: ARP, DHCP and a forwarded UDP port, frame by frame, against libslirp. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "cm.h"
#include "machine/devices/devices.h"
#include "machine/devices/virtio.h"
#include "net/link.h"
#include "virtio_driver.h"

#define HEADER  12
#define BUFFER  2048
#define BUFFERS 8

struct fixture {
    struct rig rig;
    struct driver d;
    uint64_t rx, tx; /* guest addresses */
    unsigned next;   /* receive buffer that is filled next */
    int wire[2];
    struct net_link *link;
};

static const uint8_t mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    rig_init(&f->rig);
    assert_int_equal(net_link_pair(f->wire, NULL), 0);
    *state = f;
    return 0;
}

/* Nothing of a loop is freed but by its own thread. */
static void free_link(void *opaque)
{
    struct fixture *f = opaque;
    net_link_free(f->link);
    f->link = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->link)
        loop_call(f->rig.loop, free_link, f);
    rig_free(&f->rig);
    close(f->wire[0]);
    close(f->wire[1]);
    free(f);
    return 0;
}

static void start(struct fixture *f, const struct nat_config *config)
{
    f->link = net_link_new(f->rig.loop, f->wire[1], config, NULL);
    assert_non_null(f->link);
    assert_int_equal(virtio_net_create(f->rig.host, f->rig.loop, f->rig.slat, f->wire[0], NULL), 0);
    rig_start(&f->rig);
    driver_probe(&f->d, &f->rig, 1);
    driver_start(&f->d, UINT64_MAX, 2, 16);
    f->rx = rig_alloc(&f->rig, BUFFERS * BUFFER);
    f->tx = rig_alloc(&f->rig, 4096);
    for (unsigned i = 0; i < BUFFERS; i++)
        driver_submit(&f->d, 0, (struct desc[]){{f->rx + i * BUFFER, BUFFER, VQ_DESC_WRITE, 0}}, 1);
}

static void send_frame(struct fixture *f, const void *frame, uint32_t len)
{
    uint8_t *p = rig_ptr(&f->rig, f->tx);
    memset(p, 0, HEADER);
    memcpy(p + HEADER, frame, len);
    driver_submit(&f->d, 1, (struct desc[]){{f->tx, HEADER, 0, 0}, {f->tx + HEADER, len, 0, 0}}, 2);
    assert_true(driver_wait(&f->d, 1, NULL));
}

/* The next frame, valid until the buffer's next turn. */
static const uint8_t *receive_frame(struct fixture *f, uint32_t *len)
{
    assert_true(driver_wait(&f->d, 0, len));
    uint64_t gpa = f->rx + f->next++ % BUFFERS * BUFFER;
    const uint8_t *p = rig_ptr(&f->rig, gpa);
    assert_true(*len > HEADER + 14);
    assert_int_equal(p[10], 1); /* num_buffers */
    *len -= HEADER;
    return p + HEADER;
}

static void arp_request(struct fixture *f, const uint8_t target[4])
{
    uint8_t frame[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t arp[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
    static const uint8_t self[4] = {10, 0, 2, 15};
    memcpy(frame + 6, mac, 6);
    memcpy(frame + 12, arp, sizeof arp);
    memcpy(frame + 22, mac, 6);
    memcpy(frame + 28, self, 4);
    memcpy(frame + 38, target, 4);
    send_frame(f, frame, sizeof frame);
}

static void card(void **state)
{
    struct fixture *f = *state;
    start(f, &(struct nat_config){0});
    uint8_t got[6];
    for (unsigned i = 0; i < 6; i++)
        got[i] = (uint8_t)rig_read(&f->rig, f->d.config + i, 1);
    assert_memory_equal(got, mac, 6);
    assert_int_equal(rig_read(&f->rig, f->d.config + 6, 2), 1); /* link is up */
}

static void router_answers_arp(void **state)
{
    struct fixture *f = *state;
    uint32_t len;
    start(f, &(struct nat_config){0});
    for (int i = 0; i < 20; i++) { /* more than once around the rings */
        arp_request(f, (const uint8_t[]){10, 0, 2, 2});
        const uint8_t *p = receive_frame(f, &len);
        assert_memory_equal(p, mac, 6);
        assert_int_equal(p[21], 2); /* a reply */
        assert_memory_equal(p + 28, ((const uint8_t[]){10, 0, 2, 2}), 4);
        driver_submit(&f->d, 0,
                      (struct desc[]){{f->rx + (f->next - 1) % BUFFERS * BUFFER, BUFFER, 2, 0}}, 1);
    }
}

static uint16_t checksum(const uint8_t *p, unsigned len)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < len; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Ethernet, IPv4 and UDP around a payload; the UDP checksum is left out, as it may be. */
static uint32_t udp_frame(uint8_t *frame, uint32_t from, uint16_t from_port, uint32_t to,
                          uint16_t to_port, const void *payload, uint16_t len)
{
    memset(frame, 0xff, 6);
    memcpy(frame + 6, mac, 6);
    frame[12] = 8;
    frame[13] = 0;
    uint8_t *ip = frame + 14;
    memset(ip, 0, 28);
    ip[0] = 0x45;
    ip[2] = (uint8_t)((28 + len) >> 8);
    ip[3] = (uint8_t)(28 + len);
    ip[8] = 64;
    ip[9] = 17;
    from = htonl(from);
    to = htonl(to);
    memcpy(ip + 12, &from, 4);
    memcpy(ip + 16, &to, 4);
    uint16_t sum = htons(checksum(ip, 20));
    memcpy(ip + 10, &sum, 2);
    const uint16_t udp[4] = {htons(from_port), htons(to_port), htons((uint16_t)(8 + len)), 0};
    memcpy(ip + 20, udp, 8);
    memcpy(ip + 28, payload, len);
    return 42u + len;
}

static void dhcp_gives_an_address(void **state)
{
    struct fixture *f = *state;
    uint32_t len;
    uint8_t frame[512], bootp[300] = {1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef};
    static const uint8_t options[] = {0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255};
    start(f, &(struct nat_config){.hostname = "tester"});
    memcpy(bootp + 28, mac, 6);
    memcpy(bootp + 236, options, sizeof options);
    len = udp_frame(frame, 0, 68, UINT32_MAX, 67, bootp, sizeof bootp);
    send_frame(f, frame, len);
    const uint8_t *p = receive_frame(f, &len);
    assert_true(len >= 42 + 240);
    const uint8_t *reply = p + 42;
    assert_int_equal(reply[0], 2);
    assert_memory_equal(reply + 4, bootp + 4, 4);
    assert_memory_equal(reply + 16, ((const uint8_t[]){10, 0, 2, 15}), 4);
    assert_non_null(memmem(reply, len - 42, "tester", 6));
}

static int bound_socket(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s, (struct sockaddr *)&a, len), 0);
    assert_int_equal(getsockname(s, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return s;
}

/* From the guest to a socket of the host's, through the router's address. */
static void datagram_to_the_host(void **state)
{
    struct fixture *f = *state;
    uint16_t port;
    int s = bound_socket(&port);
    uint8_t frame[512];
    char buf[16];
    start(f, &(struct nat_config){.host_loopback = true});
    arp_request(f, (const uint8_t[]){10, 0, 2, 2});
    uint32_t len = udp_frame(frame, 0x0a00020f, 4000, 0x0a000202, port, "ping", 4);
    send_frame(f, frame, len);
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    assert_int_equal(recvfrom(s, buf, sizeof buf, 0, (struct sockaddr *)&from, &from_len), 4);
    assert_memory_equal(buf, "ping", 4);
    /* And back, which takes the loop's watch on libslirp's socket. */
    assert_int_equal(sendto(s, "pong", 4, 0, (struct sockaddr *)&from, from_len), 4);
    const uint8_t *p;
    do
        p = receive_frame(f, &len);
    while (p[12] == 8 && p[13] == 6); /* ARP in between */
    assert_int_equal(len, 46);
    assert_memory_equal(p + 42, "pong", 4);
    close(s);
}

/* The same datagrams, for the host's loopback by each of its names, come back as refused. */
static void the_host_is_closed(void **state)
{
    struct fixture *f = *state;
    static const uint32_t names[] = {0x0a000202, 0x7f000001, 0x7f010203};
    uint16_t port;
    int s = bound_socket(&port);
    uint8_t frame[512];
    char buf[16];
    start(f, &(struct nat_config){0});
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        uint32_t len = udp_frame(frame, 0x0a00020f, 4000, names[i], port, "ping", 4);
        send_frame(f, frame, len);
        const uint8_t *p = receive_frame(f, &len);
        assert_memory_equal(p + 12, "\10\0\105", 3);
        assert_memory_equal(p + 34, "\3\15", 2); /* administratively prohibited */
        assert_memory_equal(p + 42, frame + 14, 28);
        assert_int_equal(recv(s, buf, sizeof buf, MSG_DONTWAIT), -1);
    }
    close(s);
}

static void forwarded_port(void **state)
{
    struct fixture *f = *state;
    uint16_t port;
    close(bound_socket(&port)); /* a port that is free */
    struct nat_forward forward = {
        .host_addr = INADDR_LOOPBACK, .host_port = port, .guest_port = 7, .udp = true};
    start(f, &(struct nat_config){.forwards = &forward, .n_forwards = 1});
    arp_request(f, (const uint8_t[]){10, 0, 2, 2}); /* so that we are known */
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(sendto(s, "knock", 5, 0, (struct sockaddr *)&a, sizeof a), 5);
    const uint8_t *p;
    uint32_t len;
    do
        p = receive_frame(f, &len);
    while (p[12] == 8 && p[13] == 6);
    assert_int_equal(p[37], 7);
    assert_memory_equal(p + 42, "knock", 5);
    /* The guest answers to where it came from, though the host is closed to it otherwise. */
    uint8_t frame[512], source[6];
    char buf[16];
    memcpy(source, p + 26, 4);
    memcpy(source + 4, p + 34, 2);
    uint32_t from;
    memcpy(&from, source, 4);
    len = udp_frame(frame, 0x0a00020f, 7, ntohl(from), (uint16_t)(source[4] << 8 | source[5]),
                    "who", 3);
    send_frame(f, frame, len);
    assert_int_equal(recv(s, buf, sizeof buf, 0), 3);
    assert_memory_equal(buf, "who", 3);
    close(s);
}

static void forward_of_a_taken_port_is_refused(void **state)
{
    struct fixture *f = *state;
    uint16_t port;
    int s = bound_socket(&port);
    struct nat_forward forward = {
        .host_addr = INADDR_LOOPBACK, .host_port = port, .guest_port = 7, .udp = true};
    struct nat_config config = {.forwards = &forward, .n_forwards = 1};
    ERROR_CLEANUP err = NULL;
    assert_null(net_link_new(f->rig.loop, f->wire[1], &config, &err));
    assert_non_null(strstr(error_text(err), "in use"));
    assert_non_null(strstr(error_text(err), "127.0.0.1"));
    close(s);
}

static void bad_frames(void **state)
{
    struct fixture *f = *state;
    start(f, &(struct nat_config){.host_loopback = true});
    uint8_t junk[1024];
    memset(junk, 0xff, sizeof junk);
    for (uint32_t len = 1; len < sizeof junk; len += 37)
        send_frame(f, junk, len);
    driver_submit(&f->d, 1, (struct desc[]){{f->tx, HEADER, 0, 0}}, 1); /* an empty frame */
    assert_true(driver_wait(&f->d, 1, NULL));
    driver_submit(&f->d, 1, (struct desc[]){{f->tx, 3, 0, 0}}, 1);
    assert_true(driver_wait_status(&f->d, VIRTIO_NEEDS_RESET, VIRTIO_NEEDS_RESET));
}

/* Frames that nobody takes wait, and come whole and in order once there are buffers; a wire whose
 * other end closes cuts the guest off and nothing else. */
static void wire(void **state)
{
    struct fixture *f = *state;
    uint32_t len;
    assert_int_equal(virtio_net_create(f->rig.host, f->rig.loop, f->rig.slat, f->wire[0], NULL), 0);
    uint8_t frame[64] = {0};
    for (unsigned i = 0; i < 40; i++) {
        frame[20] = (uint8_t)i;
        assert_int_equal(send(f->wire[1], frame, sizeof frame, MSG_DONTWAIT), sizeof frame);
    }
    rig_start(&f->rig);
    driver_probe(&f->d, &f->rig, 1);
    driver_start(&f->d, UINT64_MAX, 2, 16);
    f->rx = rig_alloc(&f->rig, BUFFERS * BUFFER);
    f->tx = rig_alloc(&f->rig, 4096);
    for (unsigned i = 0; i < 40; i++) {
        driver_submit(&f->d, 0,
                      (struct desc[]){{f->rx + i % BUFFERS * BUFFER, BUFFER, VQ_DESC_WRITE, 0}}, 1);
        const uint8_t *p = receive_frame(f, &len);
        assert_int_equal(len, sizeof frame);
        assert_int_equal(p[20], i);
    }
    shutdown(f->wire[1], SHUT_RDWR);
    for (unsigned i = 0; i < 3; i++)
        send_frame(f, frame, sizeof frame);
}

int main(void)
{
    log_init("test", LOG_ERROR);
    alarm(60); /* a socket that stays silent ends the test */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(card, setup, teardown),
        cmocka_unit_test_setup_teardown(router_answers_arp, setup, teardown),
        cmocka_unit_test_setup_teardown(dhcp_gives_an_address, setup, teardown),
        cmocka_unit_test_setup_teardown(datagram_to_the_host, setup, teardown),
        cmocka_unit_test_setup_teardown(the_host_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(forwarded_port, setup, teardown),
        cmocka_unit_test_setup_teardown(forward_of_a_taken_port_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(wire, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
