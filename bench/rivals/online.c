/* Online gradient descent of a network with one hidden layer of tanh units, as somebody would write
   it in C: units contiguous, arrays that do not alias, loops that a compiler vectorises. REAL is float
   or double. Weights: w1 (n_in, n_hidden), w2 (n_out, n_hidden). Returns the mean of
   half the squared error plus the penalty, each before its update. */
#include <math.h>

#ifdef SINGLE
typedef float REAL;
#define TANH tanhf
#else
typedef double REAL;
#define TANH tanh
#endif

double epoch(long n, int n_in, int n_hidden, int n_out, const REAL *restrict X, const REAL *restrict Y,
             REAL *restrict w1, REAL *restrict b1, REAL *restrict w2, REAL *restrict b2,
             REAL *restrict a, REAL *restrict d, REAL rate, REAL alpha)
{
    double loss = 0;
    for (long i = 0; i < n; i++) {
        const REAL *restrict x = X + i * n_in, *restrict y = Y + i * n_out;
        REAL squares = 0;
        if (alpha > 0) {
            for (int k = 0; k < n_in * n_hidden; k++) squares += w1[k] * w1[k];
            for (int k = 0; k < n_out * n_hidden; k++) squares += w2[k] * w2[k];
        }
        for (int j = 0; j < n_hidden; j++) a[j] = b1[j];
        for (int k = 0; k < n_in; k++)
            for (int j = 0; j < n_hidden; j++) a[j] += x[k] * w1[k * n_hidden + j];
        for (int j = 0; j < n_hidden; j++) a[j] = TANH(a[j]);
        for (int j = 0; j < n_hidden; j++) d[j] = 0;
        REAL error = 0;
        for (int o = 0; o < n_out; o++) {
            REAL *restrict w = w2 + o * n_hidden;
            REAL z = b2[o];
            for (int j = 0; j < n_hidden; j++) z += a[j] * w[j];
            const REAL e = z - y[o], step = rate * e;
            error += e * e;
            for (int j = 0; j < n_hidden; j++) {
                d[j] += e * w[j];
                w[j] -= step * a[j] + rate * alpha * w[j];
            }
            b2[o] -= step;
        }
        for (int j = 0; j < n_hidden; j++) d[j] *= rate * (1 - a[j] * a[j]);
        for (int k = 0; k < n_in; k++)
            for (int j = 0; j < n_hidden; j++)
                w1[k * n_hidden + j] -= x[k] * d[j] + rate * alpha * w1[k * n_hidden + j];
        for (int j = 0; j < n_hidden; j++) b1[j] -= d[j];
        loss += 0.5 * error + 0.5 * alpha * squares;
    }
    return loss / n;
}
