"""Integrate galviz's own template spectra over the SDSS and WISE passbands.

Run as ``python -m scripts.make_tables`` with the extra ``tables`` installed. It writes
``galviz/tables/templates.npz``, the only thing the simulator reads. The script stays outside the library
because speclite is needed here and nowhere else.

All spectra are synthesised below; none is copied from a library of spectra. A flux in a table is
``10 ** (-0.4 * magnitude)`` in the system that each survey publishes: AB for u g r i z, Vega for W1 to W4
(zero-point differences of Jarrett et al. 2011, ApJ 735, 112). It belongs to the spectrum
``f(wavelength / (1 + z)) / (1 + z)``, so that ``-2.5 log10(flux(z) / flux(0))`` is the K correction.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import speclite.filters
from astropy import units
from scipy.interpolate import CubicSpline, PchipInterpolator

TARGET = Path(__file__).parents[1] / "galviz" / "tables" / "templates.npz"
FOREST = 0.72  # Madau (1995) absorbs too much: later surveys, e.g. Inoue et al. (2014, MNRAS 442, 1805)
VEGA_MINUS_AB = np.array([0, 0, 0, 0, 0, 2.699, 3.339, 5.174, 6.620])
WAVE = np.geomspace(0.02, 32.0, 15000)  # rest wavelength, micron
GALAXY_LOGZ = np.linspace(0, np.log(2.8), 160)
QUASAR_LOGZ = np.linspace(0, np.log(7.6), 360)

# f_lambda at the knots, 1 at 0.55 micron. The shapes follow Coleman, Wu & Weedman (1980, ApJS 43, 393) and
# Kinney et al. (1996, ApJ 467, 38) in outline; the old population is adjusted so that it passes through the
# red side of the SDSS colours at each redshift.
KNOTS = np.array(
    [
        0.02,
        0.0912,
        0.12,
        0.15,
        0.20,
        0.25,
        0.30,
        0.35,
        0.385,
        0.405,
        0.45,
        0.50,
        0.55,
        0.65,
        0.75,
        0.90,
        1.00,
        1.20,
        1.60,
        2.20,
        2.80,
        3.60,
        4.60,
        12.0,
        32.0,
    ]
)
STELLAR = {
    "old": [
        0.003,
        0.006,
        0.012,
        0.02,
        0.02,
        0.038,
        0.115,
        0.235,
        0.355,
        0.60,
        0.83,
        0.94,
        1.00,
        1.01,
        0.98,
        0.89,
        0.82,
        0.635,
        0.405,
        0.155,
        0.0585,
        0.0283,
        0.0089,
        2.6e-4,
        5.6e-6,
    ],
    "sab": [
        0.01,
        0.02,
        0.10,
        0.13,
        0.11,
        0.14,
        0.22,
        0.34,
        0.42,
        0.68,
        0.92,
        0.98,
        1.00,
        0.98,
        0.93,
        0.82,
        0.74,
        0.57,
        0.36,
        0.137,
        0.0515,
        0.0250,
        0.0083,
        2.4e-4,
        5.2e-6,
    ],
    "sbc": [
        0.02,
        0.04,
        0.40,
        0.45,
        0.35,
        0.35,
        0.42,
        0.52,
        0.57,
        0.83,
        1.04,
        1.03,
        1.00,
        0.92,
        0.84,
        0.71,
        0.63,
        0.48,
        0.30,
        0.112,
        0.0428,
        0.0218,
        0.0074,
        2.1e-4,
        4.5e-6,
    ],
    "scd": [
        0.05,
        0.10,
        1.30,
        1.30,
        1.00,
        0.85,
        0.83,
        0.83,
        0.84,
        1.06,
        1.14,
        1.07,
        1.00,
        0.85,
        0.75,
        0.61,
        0.53,
        0.39,
        0.23,
        0.090,
        0.0350,
        0.0176,
        0.0059,
        1.7e-4,
        3.6e-6,
    ],
    "irr": [
        0.15,
        0.30,
        3.40,
        3.20,
        2.30,
        1.75,
        1.50,
        1.25,
        1.17,
        1.34,
        1.25,
        1.10,
        1.00,
        0.79,
        0.66,
        0.51,
        0.43,
        0.31,
        0.175,
        0.073,
        0.0294,
        0.0142,
        0.0047,
        1.35e-4,
        2.9e-6,
    ],
    "burst": [
        0.30,
        0.60,
        6.5,
        5.6,
        3.8,
        2.6,
        2.05,
        1.60,
        1.42,
        1.48,
        1.30,
        1.12,
        1.00,
        0.74,
        0.59,
        0.44,
        0.37,
        0.26,
        0.145,
        0.060,
        0.0245,
        0.0120,
        0.0039,
        1.2e-4,
        2.6e-6,
    ],
}
# Rest wavelength (micron) and equivalent width (Angstrom) in a starburst; other types take a share.
NEBULAR = {0.3727: 70, 0.4340: 8, 0.4861: 25, 0.4959: 22, 0.5007: 66, 0.6563: 120, 0.6584: 18, 0.6724: 22}
NEBULAR_SHARE = {"old": 0.0, "sab": 0.06, "sbc": 0.16, "scd": 0.32, "irr": 0.65, "burst": 1.3}
# Centre, relative peak of f_nu and width (micron) of the aromatic features: Draine & Li (2007, ApJ 657, 810).
AROMATIC = {
    3.3: (0.11, 0.05),
    6.2: (1.1, 0.19),
    7.7: (2.2, 0.5),
    8.6: (1.0, 0.3),
    11.3: (1.6, 0.25),
    12.7: (1.0, 0.4),
    17.0: (0.7, 0.9),
}
# Rest wavelength (Angstrom), equivalent width (Angstrom), velocity width (km/s):
# Vanden Berk et al. (2001, AJ 122, 549).
BROAD = [
    (1033, 9, 3500),
    (1216, 62, 3000),
    (1240, 18, 3000),
    (1305, 2, 3000),
    (1398, 8, 3500),
    (1549, 28, 3200),
    (1640, 6, 4500),
    (1860, 4, 3500),
    (1908, 24, 4500),
    (2799, 32, 2800),
    (4102, 5, 3500),
    (4341, 13, 3200),
    (4861, 46, 3000),
    (4959, 4, 600),
    (5007, 13, 600),
    (6563, 195, 2800),
]


def planck(temperature: float) -> np.ndarray:
    """Black body f_lambda over WAVE, largest value 1."""
    x = np.minimum(14387.77 / (WAVE * temperature), 600)
    spectrum = WAVE**-5 / np.expm1(x)
    return spectrum / spectrum.max()


def bump(centre: float, sigma: float) -> np.ndarray:
    return np.exp(-0.5 * ((WAVE - centre) / sigma) ** 2)


def lines(equivalent_width: dict[float, float], velocity: float, continuum: np.ndarray) -> np.ndarray:
    """Gaussian lines of the given rest equivalent widths (Angstrom) on a continuum."""
    total = np.zeros_like(WAVE)
    for centre, width in equivalent_width.items():
        sigma = centre * velocity / 299792.458
        total += width * 1e-4 / (sigma * np.sqrt(2 * np.pi)) * bump(centre, sigma) * np.interp(centre, WAVE, continuum)
    return total


def stellar(kind: str) -> np.ndarray:
    """Starlight of a galaxy type, with its nebular lines."""
    shape = PchipInterpolator(np.log(KNOTS), np.log(np.array(STELLAR[kind])))
    continuum = np.exp(shape(np.log(WAVE)))
    # Metal lines and molecules: shallow troughs that a smooth curve lacks (Ca H and K, G, Mg b, Na D, TiO, CO).
    depth = {"old": 1.0, "sab": 0.9, "sbc": 0.7, "scd": 0.4, "irr": 0.2, "burst": 0.1}[kind]
    for centre, strength, sigma in [
        (0.3945, 0.25, 0.005),
        (0.43, 0.08, 0.004),
        (0.5175, 0.10, 0.008),
        (0.589, 0.04, 0.005),
        (0.715, 0.03, 0.01),
        (0.85, 0.02, 0.01),
        (1.9, 0.05, 0.1),
        (4.7, 0.10, 0.25),
    ]:
        continuum *= 1 - depth * strength * bump(centre, sigma)
    widths = {centre: NEBULAR_SHARE[kind] * width for centre, width in NEBULAR.items()}
    return continuum + lines(widths, 300.0, continuum)


def aromatic() -> np.ndarray:
    """Aromatic features and warm dust of star formation, f_lambda, 1 at its largest."""
    f_nu = sum(peak * bump(centre, width) for centre, (peak, width) in AROMATIC.items())
    f_nu = f_nu + 0.025 * (WAVE / 7.0) ** 1.0 * (WAVE > 1) + 0.55 * (WAVE / 15.0) ** 2.6
    spectrum = f_nu / WAVE**2 * np.exp(-((2.6 / WAVE) ** 6))
    return spectrum / spectrum.max()


def disc() -> np.ndarray:
    """Accretion disc: the broken power law of Vanden Berk et al. (2001), and ``f_nu ~ nu^(1/3)`` beyond 0.6 micron
    (Kishimoto et al. 2008, Nature 454, 492)."""
    f_lambda = np.where(WAVE < 0.12, (WAVE / 0.12) ** (1.57 - 2), (WAVE / 0.12) ** (0.46 - 2))
    red = WAVE > 0.6
    return np.where(red, (0.6 / 0.12) ** (0.46 - 2) * (WAVE / 0.6) ** -2.33, f_lambda) / (0.3 / 0.12) ** (0.46 - 2)


def blue_bump() -> np.ndarray:
    """Fe II forest and Balmer continuum between 2200 and 4000 Angstrom."""
    iron = 0.14 * bump(0.2500, 0.017) + 0.13 * bump(0.2950, 0.018) + 0.10 * bump(0.33, 0.02) + 0.07 * bump(0.46, 0.012)
    balmer = 0.17 * np.where(WAVE < 0.3646, np.exp(-(0.3646 - WAVE) / 0.07), np.exp(-(WAVE - 0.3646) / 0.012))
    return disc() * (iron + balmer + 0.06 * bump(0.53, 0.015))


def quasar_lines() -> np.ndarray:
    total = blue_bump()
    for centre, width, velocity in BROAD:
        total = total + lines({centre * 1e-4: width}, velocity, disc())
    return total


def intergalactic(z: float) -> np.ndarray:
    """Mean transmission of the forest over the redshifted WAVE: Madau (1995, ApJ 441, 18), first four lines."""
    observed = WAVE * (1 + z) * 1e4
    depth = np.zeros_like(WAVE)
    for line, strength in [(1215.67, 0.0036), (1025.72, 0.0017), (972.54, 0.0012), (949.74, 0.00093)]:
        inside = observed < line * (1 + z)
        depth += np.where(inside, FOREST * strength * (observed / line) ** 3.46, 0)
    xc = np.minimum(observed / 911.75, 1 + z)
    inside = observed < 911.75 * (1 + z)
    limit = (
        0.25 * xc**3 * ((1 + z) ** 0.46 - xc**0.46)
        + 9.4 * xc**1.5 * ((1 + z) ** 0.18 - xc**0.18)
        - 0.7 * xc**3 * (xc**-1.32 - (1 + z) ** -1.32)
        - 0.023 * ((1 + z) ** 1.68 - xc**1.68)
    )
    return np.exp(-depth - np.where(inside, np.maximum(limit, 0), 0))


def calzetti(micron: np.ndarray) -> np.ndarray:
    """Attenuation k in A = k E(B-V) of Calzetti et al. (2000, ApJ 533, 682), continued smoothly beyond 2.2 micron."""
    x = 1 / np.clip(micron, 0.12, 2.2)
    blue = 2.659 * (-2.156 + 1.509 * x - 0.198 * x**2 + 0.011 * x**3) + 4.05
    red = 2.659 * (-1.857 + 1.040 * x) + 4.05
    k = np.where(micron < 0.63, blue, red)
    return np.maximum(k, 0.03) * np.where(micron > 2.2, (2.2 / np.maximum(micron, 2.2)) ** 1.5, 1)


def smc(micron: np.ndarray) -> np.ndarray:
    """Extinction A / E(B-V) of the Small Magellanic Cloud: 1.39 (micron)^-1.2, Prevot et al. (1984, A&A 132, 389)."""
    return 1.39 * np.maximum(micron, 0.08) ** -1.2 + 1.0 * 0


def milky_way(micron: np.ndarray) -> np.ndarray:
    """A / E(B-V) for R_V = 3.1: spline anchors of Fitzpatrick (1999, PASP 111, 63)."""
    x = [0, 0.377, 0.820, 1.667, 1.828, 2.141, 2.433, 3.704, 3.846]
    a = [0, 0.265, 0.829, 2.688, 3.055, 3.806, 4.315, 6.265, 6.591]
    return CubicSpline(x, a)(1 / micron)


class Passbands:
    """SDSS ugriz and WISE W1 to W4 of speclite."""

    def __init__(self) -> None:
        self.filters = [*speclite.filters.load_filters("sdss2010-*"), *speclite.filters.load_filters("wise2010-*")]

    def effective(self) -> np.ndarray:
        """Effective wavelength, micron, shape (9,)."""
        return np.array([f.effective_wavelength.to_value(units.micron) for f in self.filters])

    def flux(self, spectra: np.ndarray, z: float) -> np.ndarray:
        """Published-system fluxes of rest spectra (n, WAVE) seen at redshift z, shape (n, 9)."""
        wave = WAVE * (1 + z) * 1e4
        unit = units.erg / units.s / units.cm**2 / units.AA
        columns = []
        for band, offset in zip(self.filters, VEGA_MINUS_AB, strict=True):
            near = (wave > band.wavelength[0] * 0.98) & (wave < band.wavelength[-1] * 1.02)
            padded = band.get_ab_maggies(spectra[:, near] / (1 + z) * unit, wave[near] * units.AA)
            columns.append(np.asarray(padded) * 10 ** (0.4 * offset))
        return np.stack(columns, axis=-1)

    def extinction(self) -> np.ndarray:
        """A / E(B-V) per band for an F-type spectrum, E(B-V) of Schlegel et al. (1998) rescaled by 0.86
        as found by Schlafly & Finkbeiner (2011, ApJ 737, 103)."""
        star = planck(7000)
        spectra = np.stack([star, star * 10 ** (-0.4 * 0.086 * milky_way(WAVE))])
        flux = self.flux(spectra, 0.0)
        return -25.0 * np.log10(flux[1] / flux[0])


def tabulate(bands: Passbands, spectra: np.ndarray, logz: np.ndarray, *, forest: bool) -> np.ndarray:
    """Fluxes (n, redshifts, 9)."""
    out = []
    for step in logz:
        z = float(np.expm1(step))
        out.append(bands.flux(spectra * (intergalactic(z) if forest else 1), z))
    return np.stack(out, axis=1)


def main() -> None:
    bands = Passbands()
    effective = bands.effective()
    stars = np.stack([stellar(kind) for kind in STELLAR])
    galaxies = tabulate(bands, np.concatenate([stars, aromatic()[None]]), GALAXY_LOGZ, forest=False)
    hot, warm = planck(1250), planck(205) * (1 + 0.35 * bump(10.0, 1.5)) + 2.3 * planck(550)
    pieces = np.stack([disc(), quasar_lines(), hot, warm])
    quasars = tabulate(bands, pieces, QUASAR_LOGZ, forest=True)
    rest = effective / np.exp(GALAXY_LOGZ)[:, None]
    rest_quasar = effective / np.exp(QUASAR_LOGZ)[:, None]
    np.savez_compressed(
        TARGET,
        effective=effective,
        extinction=bands.extinction(),
        galaxy_logz=GALAXY_LOGZ,
        galaxy_flux=galaxies[:-1].astype(np.float32),
        aromatic_flux=galaxies[-1].astype(np.float32),
        galaxy_attenuation=calzetti(rest).astype(np.float32),
        quasar_logz=QUASAR_LOGZ,
        quasar_flux=quasars.astype(np.float32),
        quasar_reddening=smc(rest_quasar).astype(np.float32),
    )


if __name__ == "__main__":
    main()
