/*
 * netfd: some twenty system calls on file descriptors for the TypeScript above, and nothing else. Its interface is
 * src/system/netfd.ts; every protocol lives there too. Plain C over Node-API 8, so that one file serves every Node
 * from 18 on; the only other thing it takes from the host is libuv's uv_poll (through napi_get_uv_event_loop), because
 * a thread of our own with a thread-safe function costs three times the latency.
 *
 * A call answers a value >= 0 or a negative errno. Only an argument of the wrong type throws.
 *
 * Descriptors made by socket() belong to the environment (the main thread's or a worker's) that made them: close()
 * refuses any other with EBADF, so that a double close can't close somebody else's file, and the environment's end
 * closes what is left. release() gives one away (to node:net, which closes it itself).
 */
#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/filter.h>
#include <net/if.h>
#include <node_api.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define RECEIVE_BYTES_MAX (1u << 20)
#define CONTROL_BYTES_MAX 1024
#define OPTION_BYTES_MAX 4096
#define MCL_ONFAULT_SINCE_4_4 4

/* One descriptor that this environment owns, watches, or both. */
struct entry {
  struct entry *next;
  struct state *state;
  struct watch *watch;
  int fd;
  bool owned;
};

/* Outlives its entry until libuv has let go of the handle. */
struct watch {
  uv_poll_t poll; /* first: the handle's address is the watch's */
  struct state *state;
  napi_ref callback;
  int fd;
};

/* One environment. */
struct state {
  napi_env env;
  uv_loop_t *loop;
  napi_async_context async;
  napi_async_cleanup_hook_handle ending; /* set when the environment ends */
  struct entry *entries;
  uint8_t *buffer;
  size_t capacity;
  unsigned closing; /* handles given to uv_close whose callback is due */
};

/* ---- arguments and results ------------------------------------------------------------------------------------- */

struct call {
  napi_env env;
  struct state *state;
  size_t argc;
  napi_value argv[4];
};

struct bytes {
  uint8_t *data;
  size_t length;
};

static struct call begin(napi_env env, napi_callback_info info) {
  struct call call = {.env = env, .argc = 4};
  void *data = NULL;
  napi_get_cb_info(env, info, &call.argc, call.argv, NULL, &data);
  call.state = data;
  return call;
}

/* Reads argument `index` as an int32; false (and a TypeError pending) when it is anything else. */
static bool get_int(struct call *call, size_t index, int *value) {
  double number;
  if (index < call->argc && napi_get_value_double(call->env, call->argv[index], &number) == napi_ok &&
      number >= INT32_MIN && number <= INT32_MAX && number == (int)number) {
    *value = (int)number;
    return true;
  }
  napi_throw_type_error(call->env, NULL, "netfd: an argument is not a 32-bit integer");
  return false;
}

/* Reads argument `index` as a Uint8Array; the octets are valid until the call returns to JavaScript. */
static bool get_bytes(struct call *call, size_t index, struct bytes *value) {
  napi_typedarray_type type;
  void *data = NULL;
  bool is_typed = false;
  if (index < call->argc && napi_is_typedarray(call->env, call->argv[index], &is_typed) == napi_ok && is_typed &&
      napi_get_typedarray_info(call->env, call->argv[index], &type, &value->length, &data, NULL, NULL) == napi_ok &&
      type == napi_uint8_array) {
    value->data = data;
    return true;
  }
  napi_throw_type_error(call->env, NULL, "netfd: an argument is not a Uint8Array");
  return false;
}

static bool is_absent(struct call *call, size_t index) {
  napi_valuetype type;
  return index >= call->argc || (napi_typeof(call->env, call->argv[index], &type) == napi_ok && type == napi_undefined);
}

static napi_value to_int(napi_env env, int64_t value) {
  napi_value result = NULL;
  napi_create_int64(env, value, &result);
  return result;
}

/* The result of a system call: its value, or -errno. */
static napi_value to_result(napi_env env, int64_t value) { return to_int(env, value < 0 ? -errno : value); }

static napi_value to_double(napi_env env, double value) {
  napi_value result = NULL;
  napi_create_double(env, value, &result);
  return result;
}

/* A new Uint8Array with a copy of the octets. */
static napi_value to_bytes(napi_env env, const void *data, size_t length) {
  void *copy = NULL;
  napi_value buffer, result = NULL;
  if (napi_create_arraybuffer(env, length, &copy, &buffer) != napi_ok) return NULL;
  if (length > 0) memcpy(copy, data, length);
  napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &result);
  return result;
}

/* ---- descriptors ----------------------------------------------------------------------------------------------- */

static struct entry *find_entry(struct state *state, int fd) {
  struct entry *entry = state->entries;
  while (entry != NULL && entry->fd != fd) entry = entry->next;
  return entry;
}

static struct entry *add_entry(struct state *state, int fd) {
  struct entry *entry = calloc(1, sizeof *entry);
  if (entry == NULL) return NULL;
  *entry = (struct entry){.next = state->entries, .state = state, .fd = fd};
  state->entries = entry;
  return entry;
}

/* Forgets an entry that is neither owned nor watched any more. */
static void drop_if_idle(struct state *state, struct entry *entry) {
  if (entry->owned || entry->watch != NULL) return;
  struct entry **link = &state->entries;
  while (*link != entry) link = &(*link)->next;
  *link = entry->next;
  free(entry);
}

static void finish_ending(struct state *state) {
  napi_async_cleanup_hook_handle ending = state->ending;
  free(state->buffer);
  free(state);
  napi_remove_async_cleanup_hook(ending);
}

static void on_closed(uv_handle_t *handle) {
  struct watch *watch = (struct watch *)handle;
  struct state *state = watch->state;
  free(watch);
  state->closing -= 1;
  if (state->ending != NULL && state->closing == 0) finish_ending(state);
}

/* Stops polling at once; the handle's memory is freed when libuv says so. */
static void stop_watch(struct entry *entry) {
  struct watch *watch = entry->watch;
  entry->watch = NULL;
  napi_delete_reference(watch->state->env, watch->callback);
  watch->callback = NULL;
  uv_poll_stop(&watch->poll);
  watch->state->closing += 1;
  uv_close((uv_handle_t *)&watch->poll, on_closed);
}

/*
 * A socket with a pending error (ENETDOWN on a packet socket whose interface went down, ENOBUFS on a netlink socket
 * that overran) polls as POLLERR, and libuv answers that by stopping the handle. The error is the reader's to see, by
 * receive(), and polling must go on.
 */
static void on_readable(uv_poll_t *handle, int status, int events) {
  (void)events;
  struct watch *watch = (struct watch *)handle;
  struct state *state = watch->state;
  napi_env env = state->env;
  if (status < 0 && fcntl(watch->fd, F_GETFD) >= 0) uv_poll_start(handle, UV_READABLE, on_readable);

  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value callback = NULL, receiver, error;
  bool is_pending = false;
  napi_get_reference_value(env, watch->callback, &callback);
  napi_get_global(env, &receiver);
  /* From here on the watch may be gone: the callback may call unwatch or close. */
  if (callback != NULL && napi_make_callback(env, state->async, receiver, callback, 0, NULL, NULL) != napi_ok &&
      napi_is_exception_pending(env, &is_pending) == napi_ok && is_pending &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok) {
    napi_fatal_exception(env, error); /* process 'uncaughtException' */
  }
  napi_close_handle_scope(env, scope);
}

/* The environment ends (process exit, worker terminated): its watches stop and its descriptors close. */
static void on_environment_end(napi_async_cleanup_hook_handle ending, void *data) {
  struct state *state = data;
  state->ending = ending;
  while (state->entries != NULL) {
    struct entry *entry = state->entries;
    if (entry->watch != NULL) stop_watch(entry);
    if (entry->owned) close(entry->fd);
    entry->owned = false;
    drop_if_idle(state, entry);
  }
  napi_async_destroy(state->env, state->async);
  if (state->closing == 0) finish_ending(state);
}

/* ---- the calls, in the order of src/system/netfd.ts ------------------------------------------------------------- */

static napi_value netfd_socket(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  int domain, type, protocol;
  if (!get_int(&call, 0, &domain) || !get_int(&call, 1, &type) || !get_int(&call, 2, &protocol)) return NULL;
  int fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (fd < 0) return to_result(env, fd);
  struct entry *entry = add_entry(call.state, fd);
  if (entry == NULL) {
    close(fd);
    return to_int(env, -ENOMEM);
  }
  entry->owned = true;
  return to_int(env, fd);
}

static napi_value give_up(struct call *call, bool closes) {
  int fd;
  if (!get_int(call, 0, &fd)) return NULL;
  struct entry *entry = find_entry(call->state, fd);
  if (entry == NULL || !entry->owned) return to_int(call->env, -EBADF);
  if (entry->watch != NULL) stop_watch(entry);
  entry->owned = false;
  drop_if_idle(call->state, entry);
  return to_result(call->env, closes ? close(fd) : 0);
}

static napi_value netfd_close(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  return give_up(&call, true);
}

static napi_value netfd_release(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  return give_up(&call, false);
}

static napi_value netfd_bind(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  int fd;
  struct bytes address;
  if (!get_int(&call, 0, &fd) || !get_bytes(&call, 1, &address)) return NULL;
  return to_result(env, bind(fd, (const struct sockaddr *)address.data, address.length));
}

static napi_value netfd_connect(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  int fd;
  struct bytes address;
  if (!get_int(&call, 0, &fd) || !get_bytes(&call, 1, &address)) return NULL;
  return to_result(env, connect(fd, (const struct sockaddr *)address.data, address.length));
}

static napi_value netfd_getsockname(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  int fd;
  if (!get_int(&call, 0, &fd)) return NULL;
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &length) < 0) return to_int(env, -errno);
  return to_bytes(env, &address, length < sizeof address ? length : sizeof address);
}

static napi_value netfd_setsockopt(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  int fd, level, name;
  struct bytes value;
  if (!get_int(&call, 0, &fd) || !get_int(&call, 1, &level) || !get_int(&call, 2, &name) ||
      !get_bytes(&call, 3, &value)) {
    return NULL;
  }
  return to_result(env, setsockopt(fd, level, name, value.data, value.length));
}

static napi_value netfd_getsockopt(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  int fd, level, name, capacity;
  if (!get_int(&call, 0, &fd) || !get_int(&call, 1, &level) || !get_int(&call, 2, &name) ||
      !get_int(&call, 3, &capacity)) {
    return NULL;
  }
  uint8_t value[OPTION_BYTES_MAX];
  if (capacity < 0 || capacity > OPTION_BYTES_MAX) return to_int(env, -EINVAL);
  socklen_t length = capacity;
  if (getsockopt(fd, level, name, value, &length) < 0) return to_int(env, -errno);
  return to_bytes(env, value, length);
}

static napi_value netfd_attach_filter(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  int fd, none = 0;
  struct bytes program;
  if (!get_int(&call, 0, &fd) || !get_bytes(&call, 1, &program)) return NULL;
  if (program.length == 0) return to_result(env, setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none));
  size_t count = program.length / sizeof(struct sock_filter);
  if (program.length % sizeof(struct sock_filter) != 0 || count > BPF_MAXINSNS) return to_int(env, -EINVAL);
  struct sock_fprog value = {.len = count, .filter = (struct sock_filter *)program.data};
  return to_result(env, setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &value, sizeof value));
}

static napi_value netfd_send(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  int fd;
  struct bytes data, address = {0};
  if (!get_int(&call, 0, &fd) || !get_bytes(&call, 1, &data)) return NULL;
  if (!is_absent(&call, 2) && !get_bytes(&call, 2, &address)) return NULL;
  ssize_t sent;
  do {
    sent = sendto(fd, data.data, data.length, MSG_NOSIGNAL, (const struct sockaddr *)address.data, address.length);
  } while (sent < 0 && errno == EINTR);
  return to_result(env, sent);
}

/* The receive buffer is kept at the greatest capacity asked for. */
static bool reserve(struct state *state, size_t capacity) {
  if (capacity <= state->capacity) return true;
  uint8_t *buffer = realloc(state->buffer, capacity);
  if (buffer == NULL) return false;
  state->buffer = buffer;
  state->capacity = capacity;
  return true;
}

static napi_value netfd_receive(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  int fd, capacity;
  if (!get_int(&call, 0, &fd) || !get_int(&call, 1, &capacity)) return NULL;
  if (capacity < 0 || capacity > (int)RECEIVE_BYTES_MAX) return to_int(env, -EINVAL);
  if (!reserve(call.state, capacity)) return to_int(env, -ENOMEM);

  struct sockaddr_storage from;
  union {
    struct cmsghdr align;
    uint8_t octets[CONTROL_BYTES_MAX];
  } control;
  struct iovec part = {.iov_base = call.state->buffer, .iov_len = capacity};
  struct msghdr message = {.msg_name = &from,
                           .msg_namelen = sizeof from,
                           .msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
  ssize_t received;
  do {
    received = recvmsg(fd, &message, 0);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return to_int(env, -errno);

  napi_value result;
  napi_create_object(env, &result);
  napi_set_named_property(env, result, "data", to_bytes(env, part.iov_base, received));
  napi_set_named_property(env, result, "from", to_bytes(env, &from, message.msg_namelen));
  napi_set_named_property(env, result, "flags", to_int(env, message.msg_flags));
  napi_set_named_property(env, result, "control", to_bytes(env, &control, message.msg_controllen));
  return result;
}

static napi_value netfd_watch(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  int fd;
  napi_valuetype type = napi_undefined;
  if (!get_int(&call, 0, &fd)) return NULL;
  if (call.argc < 2 || napi_typeof(env, call.argv[1], &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, NULL, "netfd: the callback is not a function");
    return NULL;
  }
  struct entry *entry = find_entry(call.state, fd);
  if (entry != NULL && entry->watch != NULL) return to_int(env, -EEXIST);
  struct watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) return to_int(env, -ENOMEM);
  if (entry == NULL) entry = add_entry(call.state, fd);
  int failure = entry == NULL ? -ENOMEM : uv_poll_init(call.state->loop, &watch->poll, fd);
  if (failure < 0) {
    free(watch);
    if (entry != NULL) drop_if_idle(call.state, entry);
    return to_int(env, failure);
  }
  watch->state = call.state;
  watch->fd = fd;
  napi_create_reference(env, call.argv[1], 1, &watch->callback);
  entry->watch = watch;
  failure = uv_poll_start(&watch->poll, UV_READABLE, on_readable);
  if (failure < 0) {
    stop_watch(entry);
    drop_if_idle(call.state, entry);
  }
  return to_int(env, failure);
}

static napi_value netfd_unwatch(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  int fd;
  if (!get_int(&call, 0, &fd)) return NULL;
  struct entry *entry = find_entry(call.state, fd);
  if (entry == NULL || entry->watch == NULL) return to_int(env, -ENOENT);
  stop_watch(entry);
  drop_if_idle(call.state, entry);
  return to_int(env, 0);
}

static napi_value netfd_interface_index(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  char name[IF_NAMESIZE + 1];
  size_t length = 0;
  if (call.argc < 1 || napi_get_value_string_utf8(env, call.argv[0], name, sizeof name, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "netfd: the interface's name is not a string");
    return NULL;
  }
  if (length >= IF_NAMESIZE) return to_int(env, -ENODEV);
  unsigned index = if_nametoindex(name);
  return to_int(env, index == 0 ? -(int64_t)errno : (int64_t)index);
}

static napi_value netfd_interface_name(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  int index;
  char name[IF_NAMESIZE];
  if (!get_int(&call, 0, &index)) return NULL;
  if (index <= 0 || if_indextoname(index, name) == NULL) return to_int(env, index <= 0 ? -ENXIO : -errno);
  napi_value result = NULL;
  napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &result);
  return result;
}

static napi_value read_clock(napi_env env, clockid_t clock) {
  struct timespec now = {0};
  clock_gettime(clock, &now);
  return to_double(env, now.tv_sec * 1e3 + now.tv_nsec / 1e6);
}

static napi_value netfd_clock_monotonic(napi_env env, napi_callback_info info) {
  (void)info;
  return read_clock(env, CLOCK_MONOTONIC);
}

static napi_value netfd_clock_boottime(napi_env env, napi_callback_info info) {
  (void)info;
  return read_clock(env, CLOCK_BOOTTIME);
}

static napi_value netfd_setns(napi_env env, napi_callback_info info) {
  struct call call = begin(env, info);
  int fd;
  if (!get_int(&call, 0, &fd)) return NULL;
  return to_result(env, setns(fd, CLONE_NEWNET));
}

/* Pages are locked as they are touched: locking all of Node's mappings at once would make 120 MB resident. */
static napi_value netfd_mlockall(napi_env env, napi_callback_info info) {
  (void)info;
  return to_result(env, mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT_SINCE_4_4));
}

/* Unmaps the pages of one file's segments that nothing can have written to. Answers 1: the first file is enough. */
static int trim_executable(struct dl_phdr_info *file, size_t size, void *result) {
  (void)size;
  size_t page = sysconf(_SC_PAGESIZE);
  for (size_t i = 0; i < file->dlpi_phnum; i += 1) {
    const ElfW(Phdr) *segment = &file->dlpi_phdr[i];
    if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0) continue;
    uintptr_t start = (file->dlpi_addr + segment->p_vaddr) & ~(page - 1);
    uintptr_t end = (file->dlpi_addr + segment->p_vaddr + segment->p_filesz + page - 1) & ~(page - 1);
    if (madvise((void *)start, end - start, MADV_DONTNEED) < 0) *(int *)result = -errno;
  }
  return 1;
}

/* dl_iterate_phdr(3) begins with the executable itself. */
static napi_value netfd_trim(napi_env env, napi_callback_info info) {
  (void)info;
  int result = 0;
  dl_iterate_phdr(trim_executable, &result);
  return to_int(env, result);
}

NAPI_MODULE_INIT() {
  struct state *state = calloc(1, sizeof *state);
  napi_value name;
  if (state == NULL) return NULL;
  state->env = env;
  if (napi_get_uv_event_loop(env, &state->loop) != napi_ok ||
      napi_create_string_utf8(env, "netfd", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_async_init(env, NULL, name, &state->async) != napi_ok ||
      napi_add_async_cleanup_hook(env, on_environment_end, state, NULL) != napi_ok) {
    free(state);
    napi_throw_error(env, NULL, "netfd: the host has no event loop to attach to");
    return NULL;
  }
#define CALL(js_name, function) {js_name, NULL, function, NULL, NULL, NULL, napi_enumerable, state}
  const napi_property_descriptor calls[] = {
      CALL("socket", netfd_socket),
      CALL("close", netfd_close),
      CALL("release", netfd_release),
      CALL("bind", netfd_bind),
      CALL("connect", netfd_connect),
      CALL("getsockname", netfd_getsockname),
      CALL("setsockopt", netfd_setsockopt),
      CALL("getsockopt", netfd_getsockopt),
      CALL("attachFilter", netfd_attach_filter),
      CALL("send", netfd_send),
      CALL("receive", netfd_receive),
      CALL("watch", netfd_watch),
      CALL("unwatch", netfd_unwatch),
      CALL("interfaceIndex", netfd_interface_index),
      CALL("interfaceName", netfd_interface_name),
      CALL("clockMonotonic", netfd_clock_monotonic),
      CALL("clockBoottime", netfd_clock_boottime),
      CALL("setns", netfd_setns),
      CALL("mlockall", netfd_mlockall),
      CALL("trim", netfd_trim),
  };
  napi_define_properties(env, exports, sizeof calls / sizeof *calls, calls);
  return exports;
}
