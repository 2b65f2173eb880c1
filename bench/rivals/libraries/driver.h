/* What driver.py calls of a library: a network with one hidden layer, made from given weights and
   rows, trained for one epoch after the other in the order of the rows, and read again. Weights are
   row-major, (n_in, n_hidden) and (n_hidden, n_out). REAL is float or double. */
#ifdef SINGLE
typedef float REAL;
#else
typedef double REAL;
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int n_in, n_hidden, n_out, n_rows, batch_size;
    int is_tanh;  /* of the hidden units, where a source has two kinds; else they are rectified */
    double rate;
    const REAL *X, *y;
    REAL *w1, *b1, *w2, *b2;
} Problem;

void *make(const Problem *);
void epoch(void *net);
void weights(void *net, const Problem *);  /* into the problem's arrays */

#ifdef __cplusplus
}
#endif
