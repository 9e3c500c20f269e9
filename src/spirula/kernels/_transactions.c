/* The compiled twin of transactions.py: names of objects, and what a store is to do with one.
 *
 * A sub-operation names its object in three places and is a transaction on that object; what nearly
 * all of them look like is read and written here. Anything else, damage included, is left to the
 * code in Python, which is told by None. Objects are made by filling the slots of their classes:
 * these are asked for once. Built by setuptools for the stable ABI of Python 3.11; where that fails
 * the twin serves.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <string.h>

/* ---------------------------------------------------------------------------------- slots of classes */

enum { MOST_SLOTS = 17 };

typedef struct {
    PyTypeObject *type;
    allocfunc alloc;
    descrgetfunc get;
    descrsetfunc set;
    int count;
    PyObject *slots[MOST_SLOTS];
} Shape;

static int
shape_of(Shape *shape, PyObject *type, int count, const char *const *names)
{
    PyObject *member = PyObject_GetAttrString((PyObject *)&PySlice_Type, "start");
    if (!member)
        return -1;
    PyTypeObject *kind = Py_TYPE(member);
    Py_DECREF(member);
    if (!PyType_Check(type) || !(PyType_GetFlags((PyTypeObject *)type) & Py_TPFLAGS_HEAPTYPE)) {
        PyErr_SetString(PyExc_TypeError, "not a class");
        return -1;
    }
    for (int k = 0; k < count; k++) {
        shape->slots[k] = PyObject_GetAttrString(type, names[k]);
        if (!shape->slots[k])
            return -1;
        shape->count = k + 1;
        if (Py_TYPE(shape->slots[k]) != kind) {
            PyErr_Format(PyExc_TypeError, "%s is no slot", names[k]);
            return -1;
        }
    }
    shape->get = (descrgetfunc)PyType_GetSlot(kind, Py_tp_descr_get);
    shape->set = (descrsetfunc)PyType_GetSlot(kind, Py_tp_descr_set);
    shape->alloc = (allocfunc)PyType_GetSlot((PyTypeObject *)type, Py_tp_alloc);
    shape->type = (PyTypeObject *)Py_NewRef(type);
    return 0;
}

static void
shape_clear(Shape *shape)
{
    for (int k = 0; k < shape->count; k++)
        Py_CLEAR(shape->slots[k]);
    shape->count = 0;
    Py_CLEAR(shape->type);
}

/* What is in a slot, borrowed from the object, which keeps it; NULL without an error if nothing is. */
static PyObject *
slot(const Shape *shape, PyObject *object, int k)
{
    PyObject *found = shape->get(shape->slots[k], object, (PyObject *)shape->type);
    if (!found) {
        PyErr_Clear();
        return NULL;
    }
    Py_DECREF(found);
    return found;
}

/* Fills a slot; takes the reference to the value, which may be NULL with an error. */
static int
fill(const Shape *shape, PyObject *object, int k, PyObject *value)
{
    if (!value)
        return -1;
    int failed = shape->set(shape->slots[k], object, value);
    Py_DECREF(value);
    return failed;
}

/* ------------------------------------------------------------------------------- reading and writing */

typedef struct {
    const unsigned char *at, *end;
} Span;

static uint64_t
le(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int k = bytes - 1; k >= 0; k--)
        value = value << 8 | at[k];
    return value;
}

/* These give 0 where what they ask for is not there. */
static int
take(Span *span, int bytes, uint64_t *value)
{
    if (span->end - span->at < bytes)
        return 0;
    *value = le(span->at, bytes);
    span->at += bytes;
    return 1;
}

static int
take_bytes(Span *span, Span *found)
{
    uint64_t size;
    if (!take(span, 4, &size) || (uint64_t)(span->end - span->at) < size)
        return 0;
    found->at = span->at;
    span->at = found->end = span->at + size;
    return 1;
}

static PyObject *
text_of(Span span)
{
    return PyUnicode_DecodeUTF8((const char *)span.at, span.end - span.at, "surrogateescape");
}

static PyObject *
bytes_of(Span span)
{
    return PyBytes_FromStringAndSize((const char *)span.at, span.end - span.at);
}

static unsigned char *
put(unsigned char *at, uint64_t value, int bytes)
{
    for (int k = 0; k < bytes; k++, value >>= 8)
        *at++ = (unsigned char)value;
    return at;
}

static unsigned char *
put_bytes(unsigned char *at, const void *from, Py_ssize_t size)
{
    at = put(at, (uint64_t)size, 4);
    memcpy(at, from, (size_t)size);
    return at + size;
}

/* A number that has these bits; 0 without an error if it is none. */
static int
number_of(PyObject *value, uint64_t most, uint64_t *number)
{
    if (!value || !PyLong_Check(value))
        return 0;
    *number = PyLong_AsUnsignedLongLong(value);
    if (*number == UINT64_MAX && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return *number <= most;
}

static int
signed_of(PyObject *value, long long least, long long most, long long *number)
{
    if (!value || !PyLong_Check(value))
        return 0;
    *number = PyLong_AsLongLong(value);
    if (*number == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return *number >= least && *number <= most;
}

/* A text as UTF-8, NULL without an error if it has bytes that are none, or is too long for a length. */
static const char *
utf8_of(PyObject *text, Py_ssize_t *size)
{
    if (!text || !PyUnicode_Check(text))
        return NULL;
    const char *found = PyUnicode_AsUTF8AndSize(text, size);
    if (!found)
        PyErr_Clear();
    return found && *size < INT32_MAX ? found : NULL;
}

/* --------------------------------------------------------------------------------------------- names */

enum { H_KEY, H_OID, H_SNAP, H_HASH, H_MAX, H_NSPACE, H_POOL, H_ORDER, H_HASHED, H_SLOTS };
enum { G_HOBJ, G_GENERATION, G_SHARD, G_MAX, G_ORDER, G_HASHED, G_SLOTS };

static const char *const hobject_slots[] = {"key",    "oid",  "snap",   "hash", "max",
                                            "nspace", "pool", "_order", "_hash"};
static const char *const ghobject_slots[] = {"hobj", "generation", "shard", "max", "_order", "_hash"};

enum {
    HEAD = 6,
    HOBJECT_VERSION = 4,
    HOBJECT_COMPAT = 3,
    GHOBJECT_VERSION = 6,
    SINCE_ENVELOPE = 3,
    STORED = 10, /* generation, shard, whether it is the end of all: what a stored name has more */
    REMEMBERED = 1024,
};

typedef struct {
    PyObject_HEAD
    Shape hobject, ghobject;
    PyObject *known, *known_stored;     /* by their encoding */
    PyObject *general, *general_stored; /* what decodes the unusual */
} Names;

static void
remember(PyObject *known, PyObject *raw, PyObject *found)
{
    if (PyDict_Size(known) >= REMEMBERED)
        PyDict_Clear(known);
    if (PyDict_SetItem(known, raw, found) < 0)
        PyErr_Clear();
}

/* What is remembered of this encoding, a new reference; NULL with an error only if `raw` is NULL. */
static PyObject *
recall(PyObject *known, Span whole, PyObject **raw)
{
    *raw = bytes_of(whole);
    PyObject *found = *raw ? PyDict_GetItemWithError(known, *raw) : NULL;
    return Py_XNewRef(found);
}

/* The name in the body of an encoding that is all of it. These give NULL, without an error if it is an
 * unusual one. */
static PyObject *
hobject_in(Names *self, Span body)
{
    Span key, oid, nspace;
    uint64_t snap, hash, max, pool;
    if (!take_bytes(&body, &key) || !take_bytes(&body, &oid) || !take(&body, 8, &snap) ||
        !take(&body, 4, &hash) || !take(&body, 1, &max) || !take_bytes(&body, &nspace) ||
        !take(&body, 8, &pool) || body.at != body.end)
        return NULL;
    if (max || (pool == UINT64_MAX && !snap && !hash && oid.at == oid.end))
        return NULL;
    const Shape *shape = &self->hobject;
    PyObject *made = shape->alloc(shape->type, 0);
    if (!made)
        return NULL;
    if (fill(shape, made, H_KEY, text_of(key)) < 0 || fill(shape, made, H_OID, text_of(oid)) < 0 ||
        fill(shape, made, H_SNAP, PyLong_FromUnsignedLongLong(snap)) < 0 ||
        fill(shape, made, H_HASH, PyLong_FromUnsignedLongLong(hash)) < 0 ||
        fill(shape, made, H_MAX, Py_NewRef(Py_False)) < 0 ||
        fill(shape, made, H_NSPACE, text_of(nspace)) < 0 ||
        fill(shape, made, H_POOL, PyLong_FromLongLong((long long)pool)) < 0 ||
        fill(shape, made, H_ORDER, Py_NewRef(Py_None)) < 0 ||
        fill(shape, made, H_HASHED, PyLong_FromLong(0)) < 0)
        Py_CLEAR(made);
    return made;
}

static PyObject *
ghobject_in(Names *self, Span body)
{
    if (body.end - body.at < STORED)
        return NULL;
    Span inner = {body.at, body.end - STORED}, tail = {body.end - STORED, body.end};
    if (tail.at[9])
        return NULL;
    /* Most often the message has named the object before, then its hash is known, too. */
    Py_ssize_t size = inner.end - inner.at;
    PyObject *raw = PyBytes_FromStringAndSize(NULL, HEAD + size);
    if (!raw)
        return NULL;
    unsigned char *at = (unsigned char *)PyBytes_AsString(raw);
    at = put(put(put(at, HOBJECT_VERSION, 1), HOBJECT_COMPAT, 1), (uint64_t)size, 4);
    memcpy(at, inner.at, (size_t)size);
    PyObject *hobj = Py_XNewRef(PyDict_GetItemWithError(self->known, raw));
    if (!hobj && !PyErr_Occurred()) {
        hobj = hobject_in(self, inner);
        if (hobj)
            remember(self->known, raw, hobj);
    }
    Py_DECREF(raw);
    if (!hobj)
        return NULL;
    const Shape *shape = &self->ghobject;
    PyObject *made = shape->alloc(shape->type, 0);
    if (!made) {
        Py_DECREF(hobj);
        return NULL;
    }
    if (fill(shape, made, G_HOBJ, hobj) < 0 ||
        fill(shape, made, G_GENERATION, PyLong_FromUnsignedLongLong(le(tail.at, 8))) < 0 ||
        fill(shape, made, G_SHARD, PyLong_FromLong((signed char)tail.at[8])) < 0 ||
        fill(shape, made, G_MAX, Py_NewRef(Py_False)) < 0 ||
        fill(shape, made, G_ORDER, Py_NewRef(Py_None)) < 0 ||
        fill(shape, made, G_HASHED, Py_NewRef(Py_None)) < 0)
        Py_CLEAR(made);
    return made;
}

/* The name at the start of what is given, with where it ends; NULL as above. */
static PyObject *
name_at(Names *self, Span *span, int stored)
{
    if (span->end - span->at < HEAD || span->at[0] < SINCE_ENVELOPE)
        return NULL;
    uint64_t size = le(span->at + 2, 4);
    if ((uint64_t)(span->end - span->at - HEAD) < size)
        return NULL;
    Span whole = {span->at, span->at + HEAD + size}, body = {span->at + HEAD, whole.end};
    PyObject *raw, *known = stored ? self->known_stored : self->known;
    PyObject *found = recall(known, whole, &raw);
    int version = stored ? GHOBJECT_VERSION : HOBJECT_VERSION;
    if (!found && raw && !PyErr_Occurred() && whole.at[0] == version && whole.at[1] <= version) {
        found = stored ? ghobject_in(self, body) : hobject_in(self, body);
        if (found)
            remember(known, raw, found);
    }
    Py_XDECREF(raw);
    if (found)
        span->at = whole.end;
    return found;
}

static PyObject *
decode_name(Names *self, PyObject *const *args, Py_ssize_t count, int stored)
{
    PyObject *general = stored ? self->general_stored : self->general;
    if (count != 4 || !general) {
        PyErr_SetString(PyExc_TypeError, "takes a buffer, where to begin and to end, and features");
        return NULL;
    }
    Py_ssize_t size;
    char *buffer;
    uint64_t pos, end;
    PyObject *raw = NULL, *found = NULL, *known = stored ? self->known_stored : self->known;
    Py_ssize_t after = 0;
    if (PyBytes_CheckExact(args[0]) && PyBytes_AsStringAndSize(args[0], &buffer, &size) == 0 &&
        number_of(args[1], (uint64_t)size, &pos) && number_of(args[2], (uint64_t)size, &end) &&
        pos <= end) {
        Span span = {(unsigned char *)buffer + pos, (unsigned char *)buffer + end};
        found = name_at(self, &span, stored);
        if (!found && PyErr_Occurred())
            return NULL;
        if (found) {
            after = span.at - (unsigned char *)buffer;
            goto made;
        }
        /* An unusual one; it is remembered as well, unless it is of times without a length. */
        if (span.end - span.at >= HEAD && span.at[0] >= SINCE_ENVELOPE) {
            uint64_t length = le(span.at + 2, 4);
            if ((uint64_t)(span.end - span.at - HEAD) >= length) {
                Span whole = {span.at, span.at + HEAD + length};
                raw = bytes_of(whole);
                if (!raw)
                    return NULL;
            }
        }
    }
    PyObject *result = PyObject_CallFunctionObjArgs(general, args[0], args[1], args[2], args[3], NULL);
    if (result && raw && PyTuple_Check(result) && PyTuple_Size(result) == 2)
        remember(known, raw, PyTuple_GetItem(result, 0));
    Py_XDECREF(raw);
    return result;
made:;
    PyObject *where = PyLong_FromSsize_t(after);
    result = where ? PyTuple_Pack(2, found, where) : NULL;
    Py_XDECREF(where);
    Py_DECREF(found);
    return result;
}

static PyObject *
names_hobject(Names *self, PyObject *const *args, Py_ssize_t count)
{
    return decode_name(self, args, count, 0);
}

static PyObject *
names_ghobject(Names *self, PyObject *const *args, Py_ssize_t count)
{
    return decode_name(self, args, count, 1);
}

static PyObject *
names_hobjects(Names *self, PyObject *general)
{
    Py_XDECREF(self->general);
    self->general = Py_NewRef(general);
    return PyObject_GetAttrString((PyObject *)self, "_hobject");
}

static PyObject *
names_ghobjects(Names *self, PyObject *general)
{
    Py_XDECREF(self->general_stored);
    self->general_stored = Py_NewRef(general);
    return PyObject_GetAttrString((PyObject *)self, "_ghobject");
}

static void
names_dealloc(Names *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    shape_clear(&self->hobject);
    shape_clear(&self->ghobject);
    Py_XDECREF(self->known);
    Py_XDECREF(self->known_stored);
    Py_XDECREF(self->general);
    Py_XDECREF(self->general_stored);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *
names_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *hobject, *ghobject;
    if (!PyArg_ParseTuple(args, "OO", &hobject, &ghobject))
        return NULL;
    Names *self = (Names *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self)
        return NULL;
    self->known = PyDict_New();
    self->known_stored = PyDict_New();
    if (!self->known || !self->known_stored ||
        shape_of(&self->hobject, hobject, H_SLOTS, hobject_slots) < 0 ||
        shape_of(&self->ghobject, ghobject, G_SLOTS, ghobject_slots) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* A stored name as it is written; -1 if it is unusual. Nothing is written where `at` is NULL. */
static Py_ssize_t
put_ghobject(Names *self, PyObject *oid, unsigned char *at)
{
    const Shape *outer = &self->ghobject, *inner = &self->hobject;
    if (Py_TYPE(oid) != outer->type)
        return -1;
    PyObject *hobj = slot(outer, oid, G_HOBJ);
    if (!hobj || Py_TYPE(hobj) != inner->type)
        return -1;
    Py_ssize_t key_size, oid_size, nspace_size;
    const char *key = utf8_of(slot(inner, hobj, H_KEY), &key_size);
    const char *name = utf8_of(slot(inner, hobj, H_OID), &oid_size);
    const char *nspace = utf8_of(slot(inner, hobj, H_NSPACE), &nspace_size);
    uint64_t snap, hash, generation;
    long long pool, shard;
    if (!key || !name || !nspace || !number_of(slot(inner, hobj, H_SNAP), UINT64_MAX, &snap) ||
        !number_of(slot(inner, hobj, H_HASH), UINT32_MAX, &hash) ||
        slot(inner, hobj, H_MAX) != Py_False ||
        !signed_of(slot(inner, hobj, H_POOL), INT64_MIN, INT64_MAX, &pool) ||
        !number_of(slot(outer, oid, G_GENERATION), UINT64_MAX, &generation) ||
        !signed_of(slot(outer, oid, G_SHARD), -128, 127, &shard) ||
        slot(outer, oid, G_MAX) != Py_False)
        return -1;
    Py_ssize_t size = 43 + key_size + oid_size + nspace_size;
    if (at) {
        at = put(put(put(at, GHOBJECT_VERSION, 1), 3, 1), (uint64_t)size, 4);
        at = put_bytes(at, key, key_size);
        at = put_bytes(at, name, oid_size);
        at = put(put(put(at, snap, 8), hash, 4), 0, 1);
        at = put_bytes(at, nspace, nspace_size);
        put(put(put(put(at, (uint64_t)pool, 8), generation, 8), (uint64_t)shard, 1), 0, 1);
    }
    return HEAD + size;
}

/* ---------------------------------------------------------------------------------------- operations */

enum {
    O_OP,
    O_CID,
    O_OID,
    O_OFFSET,
    O_LENGTH,
    O_DEST_CID,
    O_DEST_OID,
    O_DEST_OFFSET,
    O_HINT,
    O_OBJECT_SIZE,
    O_WRITE_SIZE,
    O_SPLIT_BITS,
    O_SPLIT_REM,
    O_NAME,
    O_DATA,
    O_ATTRS,
    O_KEYS,
    O_SLOTS,
};
static const char *const op_slots[] = {
    "op",       "cid",         "oid",        "offset",      "length",
    "dest_cid", "dest_oid",    "dest_offset", "hint",       "expected_object_size",
    "expected_write_size",     "split_bits", "split_rem",   "name",
    "data",     "attrs",       "keys"};
enum { T_OPS, T_FLAGS, T_COLLS, T_OBJECTS, T_SLOTS };
static const char *const transaction_slots[] = {"ops", "fadvise_flags", "_colls", "_objects"};
static const char *const coll_slots[] = {"_raw"};

enum {
    VERSION = 9,
    START = 10,       /* versions, length of all, length of the data */
    OP_SIZE = 72,     /* of an operation's numbers */
    SUMMARY = 24,     /* how many operations, about the largest write, flags */
    COLL_SIZE = 34,
    VIEWED_FROM = 4096,
    MOST_OPS = 16,    /* that are written here; there are about 4 */
    MOST_CODES = 44,
    WRITE = 10,
};

/* What operations on an object have among the data: nothing (-), a name (n), bytes (d), both (b), a map
 * (m), keys (k), a range (r). */
static const char payloads[MOST_CODES + 1] =
    "       -" /* create */
    "\0"
    "-d---" /* touch, write, zero, truncate, remove */
    "bmn"   /* setattr, setattrs, rmattr */
    "\0\0"
    "-" /* trimcache */
    "\0\0\0\0\0\0\0\0"
    "-" /* rmattrs */
    "\0\0"
    "-mkd" /* omap: clear, setkeys, rmkeys, setheader */
    "\0\0"
    "r" /* omap_rmkeyrange */
    "\0"
    "-"; /* setallochint */

static char
payload_of(uint64_t code)
{
    if (code >= MOST_CODES || payloads[code] == ' ')
        return 0;
    return payloads[code];
}

typedef struct {
    PyObject_HEAD
    Names *names;
    Shape op, transaction, coll;
    PyObject *colls; /* by their encoding */
    PyObject *zero, *no_name, *no_data;
} Operations;

static PyObject *
map_at(Span *data)
{
    uint64_t count;
    if (!take(data, 4, &count) || count > (uint64_t)(data->end - data->at) / 8)
        return NULL;
    PyObject *made = PyDict_New();
    for (; made && count; count--) {
        Span key, value;
        if (!take_bytes(data, &key) || !take_bytes(data, &value)) {
            Py_DECREF(made);
            return NULL;
        }
        PyObject *name = text_of(key), *content = bytes_of(value);
        if (!name || !content || PyDict_SetItem(made, name, content) < 0)
            Py_CLEAR(made);
        Py_XDECREF(name);
        Py_XDECREF(content);
    }
    return made;
}

static PyObject *
keys_at(Span *data, int range)
{
    uint64_t count = 2;
    if (!range && (!take(data, 4, &count) || count > (uint64_t)(data->end - data->at) / 4))
        return NULL;
    PyObject *made = PyList_New(0);
    for (; made && count; count--) {
        Span key;
        if (!take_bytes(data, &key)) {
            Py_DECREF(made);
            return NULL;
        }
        PyObject *name = text_of(key);
        if (!name || PyList_Append(made, name) < 0)
            Py_CLEAR(made);
        Py_XDECREF(name);
    }
    return made;
}

/* An operation with the two that it is on, and nothing else. */
static PyObject *
plain_op(Operations *self, PyObject *code, PyObject *cid, PyObject *oid)
{
    const Shape *shape = &self->op;
    PyObject *made = shape->alloc(shape->type, 0);
    if (!made)
        return NULL;
    if (fill(shape, made, O_OP, code) < 0 || fill(shape, made, O_CID, Py_NewRef(cid)) < 0 ||
        fill(shape, made, O_OID, Py_NewRef(oid)) < 0 ||
        fill(shape, made, O_DEST_CID, Py_NewRef(Py_None)) < 0 ||
        fill(shape, made, O_DEST_OID, Py_NewRef(Py_None)) < 0)
        Py_CLEAR(made);
    return made;
}

/* One more operation of those that were received; 0 if it is unusual or something failed. */
static int
read_op(Operations *self, PyObject *ops, const unsigned char *raw, PyObject *cid, PyObject *oid,
        Span *data, PyObject *view, const unsigned char *start)
{
    uint64_t code = le(raw, 4), length = le(raw + 20, 8);
    char payload = payload_of(code);
    if (!payload || le(raw + 4, 4) || le(raw + 8, 4))
        return 0;
    const Shape *shape = &self->op;
    PyObject *op = plain_op(self, PyLong_FromUnsignedLongLong(code), cid, oid);
    if (!op)
        return 0;
    static const struct {
        int slot, at, bytes;
    } numbers[] = {{O_OFFSET, 12, 8},      {O_LENGTH, 20, 8},     {O_DEST_OFFSET, 36, 8},
                   {O_HINT, 44, 4},        {O_OBJECT_SIZE, 48, 8}, {O_WRITE_SIZE, 56, 8},
                   {O_SPLIT_BITS, 64, 4}, {O_SPLIT_REM, 68, 4}};
    int failed = 0;
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
        uint64_t number = le(raw + numbers[k].at, numbers[k].bytes);
        PyObject *value = number ? PyLong_FromUnsignedLongLong(number) : Py_NewRef(self->zero);
        failed |= fill(shape, op, numbers[k].slot, value);
    }
    PyObject *name = NULL, *content = NULL, *attrs = NULL, *keys = NULL;
    Span found;
    switch (payload) {
    case 'b':
    case 'n':
        failed |= !take_bytes(data, &found) || !(name = text_of(found));
        if (payload == 'n')
            break;
        /* fall through */
    case 'd':
        if (failed || !take_bytes(data, &found))
            failed = 1;
        else if (code != WRITE)
            content = bytes_of(found);
        else if ((uint64_t)(found.end - found.at) != length)
            failed = 1;
        else if (length < VIEWED_FROM)
            content = bytes_of(found);
        else
            content = PySequence_GetSlice(view, found.at - start, found.end - start);
        failed |= !content;
        break;
    case 'm':
        failed |= !(attrs = map_at(data));
        break;
    case 'k':
    case 'r':
        failed |= !(keys = keys_at(data, payload == 'r'));
        break;
    default:
        break;
    }
    failed |= fill(shape, op, O_NAME, name ? name : Py_NewRef(self->no_name));
    failed |= fill(shape, op, O_DATA, content ? content : Py_NewRef(self->no_data));
    failed |= fill(shape, op, O_ATTRS, attrs ? attrs : PyDict_New());
    failed |= fill(shape, op, O_KEYS, keys ? keys : PyList_New(0));
    failed = failed || PyList_Append(ops, op) < 0;
    Py_DECREF(op);
    return !failed;
}

static PyObject *
read_all(Operations *self, PyObject *source, const unsigned char *start, Py_ssize_t size)
{
    Span whole = {start, start + size};
    uint64_t version, compat, length, data_size, ops_size, entries, number, count, flags;
    if (!take(&whole, 1, &version) || !take(&whole, 1, &compat) || !take(&whole, 4, &length) ||
        !take(&whole, 4, &data_size) || version != VERSION || compat > VERSION ||
        data_size > (uint64_t)(whole.end - whole.at))
        return NULL;
    Span data = {whole.at, whole.at + data_size}, rest = {data.end, whole.end};
    if (length < 4 + data_size || length - 4 - data_size > (uint64_t)(rest.end - rest.at))
        return NULL;
    rest.end = rest.at + (length - 4 - data_size);
    if (!take(&rest, 4, &ops_size) || ops_size > (uint64_t)(rest.end - rest.at))
        return NULL;
    const unsigned char *numbers = rest.at;
    rest.at += ops_size;
    if (!take(&rest, 4, &entries) || entries != 1 || rest.end - rest.at < COLL_SIZE + 8)
        return NULL;
    Span raw_coll = {rest.at, rest.at + COLL_SIZE};
    rest.at += COLL_SIZE;
    if (!take(&rest, 4, &number) || number || !take(&rest, 4, &entries) || entries != 1)
        return NULL;
    PyObject *raw, *cid = recall(self->colls, raw_coll, &raw), *oid = NULL, *made = NULL;
    PyObject *view = NULL, *ops = NULL;
    Py_XDECREF(raw);
    if (!cid)
        return NULL;
    oid = name_at(self->names, &rest, 1);
    if (!oid || !take(&rest, 4, &number) || number || rest.end - rest.at < SUMMARY)
        goto end;
    count = le(rest.at, 8);
    flags = le(rest.at + 20, 4);
    if (!count || count > ops_size / OP_SIZE)
        goto end;
    if (data_size >= VIEWED_FROM && !(view = PyMemoryView_FromObject(source)))
        goto end;
    ops = PyList_New(0);
    if (!ops)
        goto end;
    for (; count; count--, numbers += OP_SIZE)
        if (!read_op(self, ops, numbers, cid, oid, &data, view, start))
            goto end;
    const Shape *shape = &self->transaction;
    made = shape->alloc(shape->type, 0);
    /* Tables of one entry that is used are made the same again when they are needed. */
    if (made && (fill(shape, made, T_OPS, Py_NewRef(ops)) < 0 ||
                 fill(shape, made, T_FLAGS, PyLong_FromUnsignedLongLong(flags)) < 0 ||
                 fill(shape, made, T_COLLS, PyDict_New()) < 0 ||
                 fill(shape, made, T_OBJECTS, PyDict_New()) < 0))
        Py_CLEAR(made);
end:
    Py_XDECREF(view);
    Py_XDECREF(ops);
    Py_XDECREF(oid);
    Py_DECREF(cid);
    return made;
}

/* Whether this is bytes in a row; to be released then. */
static int
plain_bytes(PyObject *source, Py_buffer *view)
{
    if (!source || PyObject_GetBuffer(source, view, PyBUF_ND) < 0) {
        PyErr_Clear();
        return 0;
    }
    if (view->itemsize == 1 && view->ndim == 1)
        return 1;
    PyBuffer_Release(view);
    return 0;
}

static PyObject *
operations_read(Operations *self, PyObject *source)
{
    Py_buffer view;
    if (!plain_bytes(source, &view))
        return Py_NewRef(Py_None);
    PyObject *made = read_all(self, source, view.buf, view.len);
    PyBuffer_Release(&view);
    if (made)
        return made;
    PyErr_Clear(); /* whatever it was, the twin finds it as well */
    return Py_NewRef(Py_None);
}

static PyObject *
operations_add(Operations *self, PyObject *const *args, Py_ssize_t count)
{
    if (count < 4 || count > 8 || !PyList_Check(args[0]) || !PyLong_Check(args[1]) ||
        (count == 8 && !PyDict_Check(args[7]))) {
        PyErr_SetString(PyExc_TypeError, "takes a list, code, collection, object, and what it has");
        return NULL;
    }
    const Shape *shape = &self->op;
    PyObject *op = plain_op(self, Py_NewRef(args[1]), args[2], args[3]);
    if (!op)
        return NULL;
    int failed = 0;
    for (int k = O_DEST_OFFSET; k <= O_SPLIT_REM; k++)
        failed |= fill(shape, op, k, Py_NewRef(self->zero));
    failed |= fill(shape, op, O_OFFSET, Py_NewRef(count > 4 ? args[4] : self->zero));
    failed |= fill(shape, op, O_LENGTH, Py_NewRef(count > 5 ? args[5] : self->zero));
    failed |= fill(shape, op, O_NAME, Py_NewRef(self->no_name));
    failed |= fill(shape, op, O_DATA, Py_NewRef(count > 6 ? args[6] : self->no_data));
    failed |= fill(shape, op, O_ATTRS, count > 7 ? Py_NewRef(args[7]) : PyDict_New());
    failed |= fill(shape, op, O_KEYS, PyList_New(0));
    failed = failed || PyList_Append(args[0], op) < 0;
    Py_DECREF(op);
    return failed ? NULL : Py_NewRef(Py_None);
}

/* Operations as they are written: their numbers and, borrowed, what they have among the data. */
typedef struct {
    PyObject *name, *data, *attrs, *keys;
    uint64_t numbers[9]; /* code, offset, length, offset at the destination, hint, sizes, split */
    char payload;
} Op;

/* How many bytes a text, bytes or all texts or entries take with their lengths; -1 if unusual. */
static Py_ssize_t
sized_text(PyObject *text)
{
    Py_ssize_t size;
    return utf8_of(text, &size) ? 4 + size : -1;
}

static Py_ssize_t
sized_bytes(PyObject *data)
{
    Py_buffer view;
    if (!plain_bytes(data, &view))
        return -1;
    Py_ssize_t size = view.len;
    PyBuffer_Release(&view);
    return size < INT32_MAX ? 4 + size : -1;
}

static Py_ssize_t
sized_payload(const Op *op)
{
    Py_ssize_t all = 0, one = 0, other = 0, pos = 0;
    PyObject *key, *value;
    switch (op->payload) {
    case 'n':
        return sized_text(op->name);
    case 'd':
        return sized_bytes(op->data);
    case 'b':
        one = sized_text(op->name);
        other = sized_bytes(op->data);
        return one < 0 || other < 0 ? -1 : one + other;
    case 'm':
        if (!op->attrs || !PyDict_CheckExact(op->attrs))
            return -1;
        for (all = 4; PyDict_Next(op->attrs, &pos, &key, &value); all += one + 4 + other) {
            one = sized_text(key);
            other = PyBytes_CheckExact(value) ? PyBytes_Size(value) : -1;
            if (one < 0 || other < 0 || other >= INT32_MAX)
                return -1;
        }
        return all;
    case 'k':
    case 'r':
        if (!op->keys || !PyList_CheckExact(op->keys))
            return -1;
        all = op->payload == 'k' ? 4 : 0;
        for (; pos < PyList_Size(op->keys); pos++, all += one)
            if ((one = sized_text(PyList_GetItem(op->keys, pos))) < 0)
                return -1;
        return all;
    default:
        return 0;
    }
}

static unsigned char *
put_text(unsigned char *at, PyObject *text)
{
    Py_ssize_t size = 0;
    const char *found = utf8_of(text, &size);
    return put_bytes(at, found, size);
}

static unsigned char *
put_buffer(unsigned char *at, PyObject *data)
{
    Py_buffer view;
    if (!plain_bytes(data, &view))
        return at;
    at = put_bytes(at, view.buf, view.len);
    PyBuffer_Release(&view);
    return at;
}

static unsigned char *
put_payload(unsigned char *at, const Op *op)
{
    Py_ssize_t pos = 0;
    PyObject *key, *value;
    switch (op->payload) {
    case 'n':
        return put_text(at, op->name);
    case 'd':
        return put_buffer(at, op->data);
    case 'b':
        return put_buffer(put_text(at, op->name), op->data);
    case 'm':
        at = put(at, (uint64_t)PyDict_Size(op->attrs), 4);
        while (PyDict_Next(op->attrs, &pos, &key, &value))
            at = put_bytes(put_text(at, key), PyBytes_AsString(value), PyBytes_Size(value));
        return at;
    case 'k':
    case 'r':
        if (op->payload == 'k')
            at = put(at, (uint64_t)PyList_Size(op->keys), 4);
        for (; pos < PyList_Size(op->keys); pos++)
            at = put_text(at, PyList_GetItem(op->keys, pos));
        return at;
    default:
        return at;
    }
}

/* An operation to write, which must be on these two; 0 if it is unusual. */
static int
op_of(Operations *self, PyObject *given, PyObject **cid, PyObject **oid, Op *op)
{
    static const int slots[9] = {O_OP,   O_OFFSET,      O_LENGTH,     O_DEST_OFFSET, O_HINT,
                                 O_OBJECT_SIZE, O_WRITE_SIZE, O_SPLIT_BITS,  O_SPLIT_REM};
    static const uint64_t most[9] = {UINT32_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT32_MAX,
                                     UINT64_MAX, UINT64_MAX, UINT32_MAX, UINT32_MAX};
    const Shape *shape = &self->op;
    if (Py_TYPE(given) != shape->type)
        return 0;
    PyObject *on = slot(shape, given, O_CID), *object = slot(shape, given, O_OID);
    if (!on || !object || slot(shape, given, O_DEST_CID) != Py_None ||
        slot(shape, given, O_DEST_OID) != Py_None)
        return 0;
    if (!*cid) {
        *cid = on;
        *oid = object;
    }
    if (on != *cid || object != *oid)
        return 0;
    for (int k = 0; k < 9; k++)
        if (!number_of(slot(shape, given, slots[k]), most[k], &op->numbers[k]))
            return 0;
    op->payload = payload_of(op->numbers[0]);
    op->name = slot(shape, given, O_NAME);
    op->data = slot(shape, given, O_DATA);
    op->attrs = slot(shape, given, O_ATTRS);
    op->keys = slot(shape, given, O_KEYS);
    return op->payload != 0;
}

static PyObject *
operations_encode(Operations *self, PyObject *transaction)
{
    /* Nothing that is called from here on runs code in Python: what was sized stays as it is. */
    const Shape *shape = &self->transaction;
    PyObject *cid = NULL, *oid = NULL;
    Op made[MOST_OPS];
    uint64_t flags, largest = 0, largest_offset = 0, largest_at = 0, data_size = 0;
    if (Py_TYPE(transaction) != shape->type)
        return Py_NewRef(Py_None);
    PyObject *ops = slot(shape, transaction, T_OPS), *colls = slot(shape, transaction, T_COLLS);
    PyObject *objects = slot(shape, transaction, T_OBJECTS);
    if (!ops || !PyList_CheckExact(ops) || !colls || !PyDict_Check(colls) || PyDict_Size(colls) ||
        !objects || !PyDict_Check(objects) || PyDict_Size(objects) ||
        !number_of(slot(shape, transaction, T_FLAGS), UINT32_MAX, &flags))
        return Py_NewRef(Py_None);
    Py_ssize_t count = PyList_Size(ops);
    if (!count || count > MOST_OPS)
        return Py_NewRef(Py_None);
    for (Py_ssize_t k = 0; k < count; k++) {
        Op *op = &made[k];
        Py_ssize_t size;
        if (!op_of(self, PyList_GetItem(ops, k), &cid, &oid, op) || (size = sized_payload(op)) < 0)
            return Py_NewRef(Py_None);
        if (op->numbers[0] == WRITE) {
            uint64_t length = (uint64_t)size - 4;
            if (length != op->numbers[2])
                return Py_NewRef(Py_None);
            if (length > largest) {
                largest = length;
                largest_offset = op->numbers[1];
                largest_at = data_size + 4;
            }
        }
        data_size += (uint64_t)size;
    }
    PyObject *raw = Py_TYPE(cid) == self->coll.type ? slot(&self->coll, cid, 0) : NULL;
    Py_ssize_t name_size = put_ghobject(self->names, oid, NULL);
    if (!raw || !PyBytes_CheckExact(raw) || PyBytes_Size(raw) > UINT16_MAX || name_size < 0)
        return Py_NewRef(Py_None);
    uint64_t ops_size = (uint64_t)count * OP_SIZE, coll_size = (uint64_t)PyBytes_Size(raw);
    uint64_t length = 4 + data_size + 4 + ops_size + 8 + coll_size + 8 + (uint64_t)name_size + SUMMARY;
    if (length > INT32_MAX)
        return Py_NewRef(Py_None);
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(START - 4 + length));
    if (!result)
        return NULL;
    unsigned char *at = (unsigned char *)PyBytes_AsString(result);
    at = put(put(put(put(at, VERSION, 1), VERSION, 1), length, 4), data_size, 4);
    for (Py_ssize_t k = 0; k < count; k++)
        at = put_payload(at, &made[k]);
    at = put(at, ops_size, 4);
    for (Py_ssize_t k = 0; k < count; k++) {
        const uint64_t *numbers = made[k].numbers;
        at = put(put(at, numbers[0], 4), 0, 8);
        at = put(put(put(at, numbers[1], 8), numbers[2], 8), 0, 8);
        at = put(put(at, numbers[3], 8), numbers[4], 4);
        at = put(put(at, numbers[5], 8), numbers[6], 8);
        at = put(put(at, numbers[7], 4), numbers[8], 4);
    }
    at = put(at, 1, 4);
    memcpy(at, PyBytes_AsString(raw), coll_size);
    at = put(put(at + coll_size, 0, 4), 1, 4);
    put_ghobject(self->names, oid, at);
    at = put(at + name_size, 0, 4);
    at = put(put(at, (uint64_t)count, 8), largest, 4);
    put(put(put(at, largest_offset & UINT32_MAX, 4), largest_at, 4), flags, 4);
    return result;
}

static void
operations_dealloc(Operations *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    shape_clear(&self->op);
    shape_clear(&self->transaction);
    shape_clear(&self->coll);
    Py_XDECREF((PyObject *)self->names);
    Py_XDECREF(self->colls);
    Py_XDECREF(self->zero);
    Py_XDECREF(self->no_name);
    Py_XDECREF(self->no_data);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *
operations_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *names, *op, *transaction, *coll, *colls;
    if (!PyArg_ParseTuple(args, "OOOOO!", &names, &op, &transaction, &coll, &PyDict_Type, &colls))
        return NULL;
    if ((newfunc)PyType_GetSlot(Py_TYPE(names), Py_tp_new) != names_new) {
        PyErr_SetString(PyExc_TypeError, "takes names");
        return NULL;
    }
    Operations *self = (Operations *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self)
        return NULL;
    self->names = (Names *)Py_NewRef(names);
    self->colls = Py_NewRef(colls);
    self->zero = PyLong_FromLong(0);
    self->no_name = PyUnicode_FromString("");
    self->no_data = PyBytes_FromStringAndSize("", 0);
    if (!self->zero || !self->no_name || !self->no_data ||
        shape_of(&self->op, op, O_SLOTS, op_slots) < 0 ||
        shape_of(&self->transaction, transaction, T_SLOTS, transaction_slots) < 0 ||
        shape_of(&self->coll, coll, 1, coll_slots) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* ---------------------------------------------------------------------------------------------- maps */

/* Whether the keys come in the order of their UTF-8; 0 without an error, also if they are unusual. */
static int
ascends(PyObject *map)
{
    PyObject *key, *value;
    Py_ssize_t pos = 0, size, before = 0;
    const char *last = "", *name;
    while (PyDict_Next(map, &pos, &key, &value)) {
        name = utf8_of(key, &size);
        if (!name)
            return 0;
        int order = memcmp(last, name, (size_t)(before < size ? before : size));
        if (order > 0 || (!order && before > size))
            return 0;
        last = name;
        before = size;
    }
    return 1;
}

static PyObject *
in_order(PyObject *module, PyObject *map)
{
    if (PyDict_CheckExact(map) && ascends(map))
        return PyDict_Copy(map);
    return Py_NewRef(Py_None);
}

/* -------------------------------------------------------------------------------------------- module */

#define FAST(function) (PyCFunction)(void (*)(void))function, METH_FASTCALL
#define HELP "See spirula.kernels.transactions."

static PyMethodDef names_methods[] = {
    {"_hobject", FAST(names_hobject), HELP},
    {"_ghobject", FAST(names_ghobject), HELP},
    {"hobjects", (PyCFunction)names_hobjects, METH_O, HELP},
    {"ghobjects", (PyCFunction)names_ghobjects, METH_O, HELP},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot names_type_slots[] = {
    {Py_tp_new, names_new},
    {Py_tp_dealloc, names_dealloc},
    {Py_tp_methods, names_methods},
    {0, NULL},
};
static PyType_Spec names_spec = {
    .name = "spirula.kernels._transactions.Names",
    .basicsize = sizeof(Names),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = names_type_slots,
};

static PyMethodDef operations_methods[] = {
    {"add", FAST(operations_add), HELP},
    {"read", (PyCFunction)operations_read, METH_O, HELP},
    {"encode", (PyCFunction)operations_encode, METH_O, HELP},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot operations_type_slots[] = {
    {Py_tp_new, operations_new},
    {Py_tp_dealloc, operations_dealloc},
    {Py_tp_methods, operations_methods},
    {0, NULL},
};
static PyType_Spec operations_spec = {
    .name = "spirula.kernels._transactions.Operations",
    .basicsize = sizeof(Operations),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = operations_type_slots,
};

static PyMethodDef methods[] = {
    {"in_order", in_order, METH_O, HELP},
    {NULL, NULL, 0, NULL},
};

static int
add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromSpec(spec);
    if (!type)
        return -1;
    int failed = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return failed;
}

static int
execute(PyObject *module)
{
    return add_type(module, &names_spec) < 0 ? -1 : add_type(module, &operations_spec);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_transactions",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__transactions(void)
{
    return PyModuleDef_Init(&definition);
}
