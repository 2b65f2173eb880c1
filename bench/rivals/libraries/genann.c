/* genann, from the Python extension that holds it: see genann.py. Its biases are weights of an input
   of -1, the first of each unit; its units are logistic, of which this takes the exact function, not
   the table. Its derivative is that of the logistic function whatever the hidden units are. */
#include <stdlib.h>

#include "driver.h"

typedef struct genann {  /* as in genann.h */
    int inputs, hidden_layers, hidden, outputs;
    double (*activation_hidden)(const struct genann *, double);
    double (*activation_output)(const struct genann *, double);
    int total_weights, total_neurons;
    double *weight, *output, *delta;
} genann;

genann *genann_init(int inputs, int hidden_layers, int hidden, int outputs);
void genann_train(const genann *, const double *inputs, const double *outputs, double rate);
double genann_act_sigmoid(const genann *, double);
double genann_act_linear(const genann *, double);

typedef struct {
    Problem problem;
    genann *net;
} Net;

void *make(const Problem *p)
{
    Net *own = malloc(sizeof *own);
    genann *net = genann_init(p->n_in, 1, p->n_hidden, p->n_out);
    net->activation_hidden = genann_act_sigmoid;
    net->activation_output = genann_act_linear;
    double *w = net->weight;
    for (int j = 0; j < p->n_hidden; j++) {
        *w++ = -p->b1[j];
        for (int k = 0; k < p->n_in; k++) *w++ = p->w1[k * p->n_hidden + j];
    }
    for (int o = 0; o < p->n_out; o++) {
        *w++ = -p->b2[o];
        for (int j = 0; j < p->n_hidden; j++) *w++ = p->w2[j * p->n_out + o];
    }
    own->problem = *p;
    own->net = net;
    return own;
}

void epoch(void *net)
{
    const Net *own = net;
    const Problem *p = &own->problem;
    for (int i = 0; i < p->n_rows; i++)
        genann_train(own->net, p->X + i * p->n_in, p->y + i * p->n_out, p->rate);
}

void weights(void *net, const Problem *p)
{
    const double *w = ((Net *)net)->net->weight;
    for (int j = 0; j < p->n_hidden; j++) {
        p->b1[j] = -*w++;
        for (int k = 0; k < p->n_in; k++) p->w1[k * p->n_hidden + j] = *w++;
    }
    for (int o = 0; o < p->n_out; o++) {
        p->b2[o] = -*w++;
        for (int j = 0; j < p->n_hidden; j++) p->w2[j * p->n_out + o] = *w++;
    }
}
