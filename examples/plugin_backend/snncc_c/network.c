/* A spiking network in whole numbers, written by snncc.

   network INPUT OUTPUT SAMPLES STEPS

   All numbers in files are int64. INPUT has for each sample, step and place: the spikes of a
   source; of another place with a current from the host, that current. OUTPUT has for each sample,
   step and place: spikes, currents u and membranes v of a population; the sums of a readout. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef enum { SOURCE, POPULATION, READOUT } kind;
typedef enum { HARD, SOFT, NONE } reset;
typedef enum { NOW, NEXT, BOTH } when;
typedef enum { MEMBRANE, CURRENT } into;

typedef struct {
    int size;  /* neurons */
    int depth; /* of how many steps its spikes are kept */
    int host;  /* whether the host gives it a current */
    kind kind;
    reset reset;
    when when;
    into bias_into;
    const int32_t *vth, *dv, *du, *bias, *initial; /* of each neuron */
} place;

typedef struct {
    int source, target, delay;
    int wraps; /* whether its sums wrap at 24 bits, as those of a convolution do */
    const int32_t *start, *from, *weight; /* row i: the synapses of target i */
} projection;

/* TABLES */
enum { ONE = 64, UNITY = 4096, CURRENT_LIMIT = 1 << 23, MEMBRANE_LIMIT = (1 << 23) - 1 };

typedef struct {
    int64_t *said; /* (depth, size), a ring over the steps */
    int64_t *sum, *u, *v;
    int64_t *late; /* whether the neuron fired in the step before */
} state;

static state states[PLACES];

static int64_t wrapped(int64_t x, int bits) {
    int64_t half = (int64_t)1 << (bits - 1), whole = 2 * half, rest = (x + half) % whole;
    return (rest < 0 ? rest + whole : rest) - half;
}

/* x (UNITY - by) / UNITY, toward zero */
static int64_t decayed(int64_t x, int64_t by) {
    int64_t size = (x < 0 ? -x : x) * (UNITY - by) / UNITY;
    return x < 0 ? -size : size;
}

static int64_t *said(int p, int step) {
    return states[p].said + (int64_t)(step % places[p].depth) * places[p].size;
}

static void hear(const projection *p, int step) {
    if (step < p->delay)
        return;
    const int64_t *spikes = said(p->source, step - p->delay);
    int64_t *sum = states[p->target].sum;
    for (int i = 0; i < places[p->target].size; i++) {
        int64_t a = 0;
        for (int32_t k = p->start[i]; k < p->start[i + 1]; k++)
            a += p->weight[k] * spikes[p->from[k]];
        sum[i] += p->wraps ? wrapped(a, 24) : a;
    }
}

/* One step of neuron i: snncc.ir.registers.FixedNeuron says what it computes. */
static int64_t fire(const place *p, state *s, int i) {
    int64_t theta = (int64_t)p->vth[i] * ONE;
    int64_t u = decayed(s->u[i], p->du[i] + 1) + s->sum[i] * ONE;
    if (p->bias_into == CURRENT)
        u += p->bias[i];
    if (u > CURRENT_LIMIT || u <= -CURRENT_LIMIT) {
        u = wrapped(u, 32);
        if (u > CURRENT_LIMIT)
            u -= 2 * CURRENT_LIMIT;
        if (u <= -CURRENT_LIMIT)
            u += 2 * CURRENT_LIMIT;
    }
    int64_t v = decayed(s->v[i], p->dv[i]) + u;
    if (p->bias_into == MEMBRANE)
        v += p->bias[i];
    if (v > MEMBRANE_LIMIT)
        v = MEMBRANE_LIMIT;
    if (v < -MEMBRANE_LIMIT)
        v = -MEMBRANE_LIMIT;
    int64_t late = p->when == BOTH ? s->v[i] > theta : s->late[i];
    if (p->when != NOW && p->reset == HARD)
        v = late ? 0 : v;
    if (p->when != NOW && p->reset == SOFT)
        v -= theta * late;
    int64_t spike = v > theta;
    if (p->when == BOTH)
        v -= theta * (spike - late);
    else if (p->when == NOW && p->reset == HARD)
        v = spike ? 0 : v;
    else if (p->when == NOW && p->reset == SOFT)
        v -= theta * spike;
    s->u[i] = u;
    s->v[i] = v;
    s->late[i] = spike;
    return spike;
}

static void *room(int64_t count) {
    void *memory = calloc(count > 0 ? count : 1, sizeof(int64_t));
    if (!memory) {
        fputs("no memory left\n", stderr);
        exit(1);
    }
    return memory;
}

static void begin(void) { /* a sample */
    for (int p = 0; p < PLACES; p++)
        for (int i = 0; i < places[p].size && places[p].kind == POPULATION; i++) {
            states[p].u[i] = 0;
            states[p].v[i] = places[p].initial[i];
            states[p].late[i] = states[p].v[i] > (int64_t)places[p].vth[i] * ONE;
        }
}

static void give(const int64_t *numbers, int count, FILE *output) {
    if (fwrite(numbers, sizeof(int64_t), count, output) != (size_t)count) {
        fputs("the output cannot be written\n", stderr);
        exit(1);
    }
}

static void take(int64_t *numbers, int count, FILE *input) {
    if (fread(numbers, sizeof(int64_t), count, input) != (size_t)count) {
        fputs("the input is too short\n", stderr);
        exit(1);
    }
}

/* In the order of the places, in which every projection without a delay points forward. */
static void step(int t, FILE *input, FILE *output) {
    for (int p = 0; p < PLACES; p++) {
        const place *here = &places[p];
        state *s = &states[p];
        if (here->kind == SOURCE) {
            take(said(p, t), here->size, input);
            continue;
        }
        if (here->host)
            take(s->sum, here->size, input);
        else
            for (int i = 0; i < here->size; i++)
                s->sum[i] = 0;
        for (int k = 0; k < PROJECTIONS; k++)
            if (projections[k].target == p)
                hear(&projections[k], t);
        if (here->kind == READOUT) {
            give(s->sum, here->size, output);
            continue;
        }
        int64_t *spikes = said(p, t);
        for (int i = 0; i < here->size; i++)
            spikes[i] = fire(here, s, i);
        give(spikes, here->size, output);
        give(s->u, here->size, output);
        give(s->v, here->size, output);
    }
}

int main(int count, char **arguments) {
    if (count != 5) {
        fputs("usage: network INPUT OUTPUT SAMPLES STEPS\n", stderr);
        return 2;
    }
    FILE *input = fopen(arguments[1], "rb"), *output = fopen(arguments[2], "wb");
    if (!input || !output) {
        fputs("a file cannot be opened\n", stderr);
        return 2;
    }
    for (int p = 0; p < PLACES; p++) {
        states[p].said = room((int64_t)places[p].depth * places[p].size);
        states[p].sum = room(places[p].size);
        states[p].u = room(places[p].size);
        states[p].v = room(places[p].size);
        states[p].late = room(places[p].size);
    }
    for (int n = 0; n < atoi(arguments[3]); n++) {
        begin();
        for (int t = 0; t < atoi(arguments[4]); t++)
            step(t, input, output);
    }
    return fclose(output) ? 1 : 0;
}
