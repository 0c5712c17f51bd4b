"""The compiled loops of the simulator: every function works on whole parts and holds no lock."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, log10, sqrt
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Single = NDArray[np.float32]
Double = NDArray[np.float64]
Cells = NDArray[np.int32]
Function = TypeVar("Function", bound=Callable[..., Any])
_LN_MAG = 0.9210340371976183  # 0.4 ln 10


def compiled(function: Function) -> Function:
    """Compile once, keep the result on disk, run without the interpreter lock."""
    return cast(Function, numba.njit(nogil=True, cache=True, error_model="numpy")(function))


@compiled
def alias_table(weight: Double, keep: Single, other: Cells) -> None:
    """Fill `keep` and `other` so that one uniform number draws a cell in proportion to `weight`."""
    n = weight.size
    total = weight.sum()
    scaled = weight * (n / total)
    small = np.empty(n, np.int64)
    large = np.empty(n, np.int64)
    smalls = 0
    larges = 0
    for i in range(n):
        keep[i] = 1.0
        other[i] = i
        if scaled[i] < 1.0:
            small[smalls] = i
            smalls += 1
        else:
            large[larges] = i
            larges += 1
    while smalls > 0 and larges > 0:
        smalls -= 1
        a = small[smalls]
        b = large[larges - 1]
        keep[a] = scaled[a]
        other[a] = b
        scaled[b] -= 1.0 - scaled[a]
        if scaled[b] < 1.0:
            larges -= 1
            small[smalls] = b
            smalls += 1


@compiled
def draw_cells(keep: Single, other: Cells, sight: Cells, uniform: Double) -> Cells:
    """Cell of each uniform number, with the line of sight (row of the census) of each."""
    cells = keep.shape[1]
    result = np.empty(uniform.size, np.int32)
    for i in range(uniform.size):
        place = uniform[i] * cells
        cell = min(int(place), cells - 1)
        s = sight[i]
        result[i] = cell if place - cell < keep[s, cell] else other[s, cell]
    return result


@compiled
def between(table: Single, j: int, f: float, b: int) -> float:
    """Linear interpolation in the first axis of a table of (redshift, band)."""
    return float(table[j, b] * (1 - f) + table[j + 1, b] * f)


@compiled
def kpc_per_arcsec(modulus: float, z: float) -> float:
    """Scale at the angular diameter distance that belongs to a distance modulus."""
    return 10 ** (0.2 * modulus + 1) / (1 + z) ** 2 * 4.84814e-9


@compiled
def star_fluxes(
    cell: Cells, uniform: Single, normal: Single, magnitude: Double, offset: Double, grid: Any, point: Single
) -> None:
    """Fluxes of stars, points (n, 9), from cells of (step, r bin).

    Scatter of the locus: 0.05 mag in u by metallicity, 0.025 in u and g by reddening and binaries, 0.04 in WISE. Cool
    companions and neighbours within the WISE beam add infrared light, to faint stars more often than to bright ones.
    """
    for i in range(cell.size):
        step = cell[i] // grid.bins
        r = grid.r0 + (cell[i] % grid.bins + uniform[i, 0]) * grid.dr
        t = uniform[i, 1]
        w1 = r + offset[step, 0, 5]
        excess = 0.0
        if uniform[i, 2] < 0.07 + 0.25 / (1 + exp(15.5 - w1)):
            excess = -0.6 * log(1 - 0.999 * uniform[i, 7])
        for b in range(9):
            m = r + offset[step, 0, b] * (1 - t) + offset[step, 1, b] * t
            if b == 0:
                m += 0.05 * normal[i, 0]
            if b < 2:
                m += 0.025 * normal[i, 1]
            if b > 4:
                m += 0.04 * normal[i, 2] - excess
            point[i, b] = exp(-_LN_MAG * m)


@compiled
def half_light(absolute: float, kind: int, tau: float, normal: float) -> float:
    """Half-light radius (kpc) of a galaxy of r-band `absolute` magnitude: Shen et al. (2003, MNRAS 343, 978).

    The last two terms stand for the cusps of early and the flat cores of late types, as a PSF magnitude sees them.
    """
    if kind < 2:
        log_kpc = -0.26 * absolute - 5.06 + 0.11 + 0.12 * normal
    else:
        log_kpc = -0.104 * absolute + 0.25 * log10(1 + exp(-_LN_MAG * (absolute + 20.91))) - 1.71 + 0.16 * normal
    compact = max(tau - 4.0, 0.0)  # blue compact dwarfs and green peas: Cardamone et al. (2009, MNRAS 399, 1191)
    return 10 ** (log_kpc + 0.05 * tau - 0.08 - 0.5 * compact)


@compiled
def galaxy_spectrum(
    tau: float, j: int, f: float, uniform: Single, normal: Single, spectra: Any, law: Any, flux: Double
) -> None:
    """Fill the nine fluxes of a galaxy of fractional type `tau` at redshift step j + f of the tables."""
    a = int(tau)
    s = tau - a
    reddening = law.reddening[a] * exp(law.reddening_spread * normal[0])
    glow = exp(law.glow[a] * (1 - s) + law.glow[a + 1] * s + law.glow_spread[a] * normal[1])
    torus = exp(law.torus[a] + law.torus_spread * normal[2])
    if uniform[7] < law.agn_share:
        torus = exp(law.agn + law.agn_spread * normal[2])
    for b in range(9):
        light = between(spectra.stars[a], j, f, b) * (1 - s) + between(spectra.stars[a + 1], j, f, b) * s
        dim = reddening * between(spectra.attenuation, j, f, b)
        if b < 5:
            dim += law.tilt_spread * normal[3] * (2 - b)
        flux[b] = light * exp(-_LN_MAG * dim)
        flux[b] += glow * between(spectra.aromatic, j, f, b) + torus * between(spectra.torus, j, f, b)


@compiled
def galaxy_fluxes(
    cell: Cells,
    uniform: Single,
    normal: Single,
    spectra: Any,
    distance: Any,
    law: Any,
    grid: Any,
    extended: Single,
    size: Single,
    redshift: Single,
) -> None:
    """Fluxes (n, 9), half-light radii (arcsec) and redshifts of galaxies from cells of (type, redshift, r)."""
    types, steps, _ = spectra.stars.shape
    flux = np.empty(9, np.float64)
    for i in range(cell.size):
        r = grid.r0 + (cell[i] % grid.bins + uniform[i, 0]) * grid.dr
        zbin = (cell[i] // grid.bins) % grid.zbins
        kind = cell[i] // (grid.bins * grid.zbins)
        x = grid.x0 + (zbin + uniform[i, 1]) * grid.dx
        z = exp(x) - 1
        place = min(x / spectra.step, steps - 1.001)
        j = int(place)
        young = law.evolution * max(z - 0.3, 0.0)
        tau = min(max(kind + uniform[i, 2] - 0.5 + young, 0.0), types - 1.001)
        galaxy_spectrum(tau, j, place - j, uniform[i], normal[i], spectra, law, flux)
        scale = exp(-_LN_MAG * r) / flux[2]
        for b in range(9):
            extended[i, b] = flux[b] * scale
        kpc = half_light(r - distance.modulus[zbin] - distance.k[kind, zbin], kind, tau, normal[i, 4])
        size[i] = kpc * (1 + z) ** -0.5 / kpc_per_arcsec(distance.modulus[zbin], z)
        redshift[i] = z


@compiled
def quasar_spectrum(
    z: float, j: int, f: float, uniform: Single, normal: Single, spectra: Any, law: Any, flux: Double
) -> None:
    """Fill the nine nuclear fluxes of a quasar at redshift step j + f of the tables."""
    slope = law.slope + law.slope_spread * normal[0]
    lines = exp(law.line_spread * normal[1])
    hot = exp(law.hot + law.hot_spread * normal[2])
    warm = exp(law.warm + law.warm_spread * normal[3] + 0.6 * law.hot_spread * normal[2])
    reddening = -log(1 - 0.999 * uniform[2])
    obscured = z < 0.6 and uniform[7] < law.obscured_share
    reddening *= law.obscured_reddening if obscured else law.reddening
    for b in range(9):
        shape = slope * between(spectra.log_wave, j, f, b) - _LN_MAG * reddening * between(spectra.smc, j, f, b)
        optical = between(spectra.disc, j, f, b) + lines * between(spectra.lines, j, f, b)
        flux[b] = optical * exp(shape)
        flux[b] += hot * between(spectra.hot, j, f, b) + warm * between(spectra.warm, j, f, b)


@compiled
def host_share(x: float, z: float, modulus: float, total: float, normal: float, host: Any, law: Any) -> float:
    """Share of a quasar's r flux that its host gives; targets beyond z = 0.33 must look like points."""
    place = x / host.step
    if place >= host.flux.shape[0] - 1.001:
        return 0.0
    j = int(place)
    f = place - j
    m = law.host + law.host_spread * normal - 1.2 * z + modulus + host.k[j] * (1 - f) + host.k[j + 1] * f
    cap = law.host_cap - (law.host_cap - law.host_cap_far) * (1 - 1 / (1 + exp((z - 0.33) / 0.05)))
    return float(min(exp(-_LN_MAG * m) / total, cap))


@compiled
def quasar_fluxes(
    cell: Cells,
    uniform: Single,
    normal: Single,
    spectra: Any,
    host: Any,
    modulus: Double,
    law: Any,
    grid: Any,
    point: Single,
    extended: Single,
    size: Single,
    redshift: Single,
) -> None:
    """Nuclear and host fluxes (n, 9), host radii (arcsec) and redshifts of quasars from cells of (redshift, r)."""
    flux = np.empty(9, np.float64)
    for i in range(cell.size):
        r = grid.r0 + (cell[i] % grid.bins + uniform[i, 0]) * grid.dr
        zbin = cell[i] // grid.bins
        x = grid.x0 + (zbin + uniform[i, 1]) * grid.dx
        z = exp(x) - 1
        place = min(x / spectra.step, spectra.disc.shape[0] - 1.001)
        j = int(place)
        quasar_spectrum(z, j, place - j, uniform[i], normal[i], spectra, law, flux)
        total = exp(-_LN_MAG * r)
        share = host_share(x, z, modulus[zbin], total, normal[i, 4], host, law)
        h = int(x / host.step)
        f = x / host.step - h
        for b in range(9):
            point[i, b] = flux[b] * (1 - share) * total / flux[2]
            if share > 0:
                extended[i, b] = share * total * between(host.flux, h, f, b) / between(host.flux, h, f, 2)
        kpc = 4.5 * exp(0.35 * normal[i, 5]) * (1 + z) ** -0.5
        size[i] = kpc / kpc_per_arcsec(modulus[zbin], z)
        redshift[i] = z


@compiled
def asinh_magnitude(flux: float, softening: float) -> float:
    """Lupton, Gunn & Szalay (1999, AJ 118, 1406)."""
    y = flux / (2 * softening)
    return -(log(y + sqrt(y * y + 1)) + log(softening)) / _LN_MAG


@compiled
def observe_optical(
    point: Single,
    extended: Single,
    size: Single,
    dust: Single,
    law: Double,
    bands: Double,
    uniform: Single,
    normal: Single,
    out: Single,
) -> None:
    """Measure noiseless fluxes as SDSS would; fills the first 16 rows of out, in the order of survey.MEASURED.

    point, extended: (n, 9); size: half-light radius, arcsec; dust: E(B-V); law: (9,) A / E(B-V); bands: (5, 5)
    softening, sky sigma, photon term, floor and PSF sigma.
    """
    for i in range(point.shape[0]):
        seeing = exp(0.10 * normal[i, 9])
        for b in range(5):
            softening, sky, photon, floor, sigma = bands[b]
            width = sigma * seeing * exp(0.028 * normal[i, 15 + b])
            area = 1 + size[i] * size[i] / (2 * width * width)
            dim = exp(-_LN_MAG * law[b] * dust[i])
            flux = (point[i, b] + extended[i, b] * area**-0.7) * dim
            error = sqrt((sky * seeing) ** 2 + photon * flux + (floor * flux) ** 2)
            seen = flux + error * normal[i, b]
            out[b, i] = asinh_magnitude(seen, softening)
            out[5 + b, i] = error / (_LN_MAG * sqrt(seen * seen + 4 * softening * softening))
            out[10 + b, i] = law[b] * dust[i]
            if b == 2:
                total = (point[i, b] + extended[i, b]) * dim
                spread = sqrt((0.012 * total) ** 2 + 0.15 * (sky * seeing) ** 2 * area)
                model = seen - flux + total + spread * normal[i, 10]
                if uniform[i, 5] < 0.13:  # a neighbour that the deblender left in the model
                    model += total * -0.25 * log(1 - 0.999 * uniform[i, 6])
                if uniform[i, 5] > 0.960:  # a fragment of a galaxy, or a fit that missed its wings
                    model = seen + 0.2 * uniform[i, 6] * (total - flux)
                out[15, i] = asinh_magnitude(model, softening)


@compiled
def neighbour(b: int, uniform: Single, normal: Single) -> float:
    """WISE flux of the faint galaxy that shares the beam."""
    m = 15.3 + 2.2 * sqrt(uniform[4])
    if b > 0:
        m -= 0.15 + 0.25 * normal[11]
    if b > 1:
        m -= 2.5 + 0.8 * normal[12]
    if b > 2:
        m -= 2.2
    return exp(-_LN_MAG * m)


@compiled
def observe_infrared(
    point: Single,
    extended: Single,
    size: Single,
    dust: Single,
    law: Double,
    depth: Single,
    bands: Double,
    limit_w1: float,
    uniform: Single,
    normal: Single,
    out: Single,
) -> None:
    """Measure noiseless fluxes as WISE would; fills rows 16 to 25 of out, in the order of survey.MEASURED.

    depth: factor on the noise (n,); bands: (4, 3) sky sigma, floor, PSF sigma. Magnitudes come in steps of 0.001;
    below a signal to noise of 2 the magnitude is the measured flux, or zero, plus two sigma (WISE Explanatory
    Supplement, section II.2.a).
    """
    for i in range(point.shape[0]):
        w1 = -log(point[i, 5] + extended[i, 5]) / _LN_MAG
        blended = uniform[i, 3] < 0.03 + 0.97 / (1 + exp((limit_w1 - w1) / 0.2))
        for b in range(4):
            sky, floor, sigma = bands[b]
            sky = sky * depth[i] * exp(0.12 * normal[i, 11 + b])
            kept = (1 + size[i] * size[i] / (sigma * sigma)) ** -0.7
            flux = (point[i, 5 + b] + extended[i, 5 + b] * kept) * exp(-_LN_MAG * law[5 + b] * dust[i])
            if blended:
                flux += neighbour(b, uniform[i], normal[i])
            error = sqrt(sky * sky + (floor * flux) ** 2)
            seen = flux + error * normal[i, 5 + b]
            limit = seen < 2 * error
            value = max(seen, 0.0) + 2 * error if limit else seen
            out[16 + b, i] = round(-log(value) / _LN_MAG * 1000) / 1000
            out[20 + b, i] = 0.543 if limit else round(error / (_LN_MAG * seen) * 1000) / 1000
            if b > 1:
                out[22 + b, i] = 1.0 if limit else 0.0
