/* The Mandelbrot set in single precision. */
#include "kernel.h"

int main(int argc, char **argv)
{
    uint64_t h = 0;
    for (unsigned s = scale(argc, argv); s; s--)
        for (int py = 0; py < 120; py++)
            for (int px = 0; px < 160; px++) {
                float cx = (float)px / 60.0f - 2.0f, cy = (float)py / 60.0f - 1.0f;
                float x = 0, y = 0;
                int n = 0;
                while (n < 100 && x * x + y * y < 4.0f) {
                    float t = x * x - y * y + cx;
                    y = 2.0f * x * y + cy;
                    x = t;
                    n++;
                }
                h = mix(h, (uint64_t)n);
            }
    return result("mandelbrot", h);
}
