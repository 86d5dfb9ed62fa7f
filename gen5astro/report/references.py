"""What a paper that uses an audit cites."""

from dataclasses import dataclass

__all__ = ["REFERENCES", "Reference"]


@dataclass(frozen=True)
class Reference:
    """One reference.

    Parameters
    ----------
    label : str
        As it is cited in the text: authors and year.
    kind : str
        BibTeX entry type.
    fields : dict of str
        BibTeX fields, in order.
    """

    label: str
    kind: str
    fields: dict[str, str]

    def bibtex(self, key):
        """Return the BibTeX entry.

        Parameters
        ----------
        key : str
            Its citation key.

        Returns
        -------
        entry : str
            Some lines.
        """
        lines = [f"  {name} = {{{value}}}," for name, value in self.fields.items()]
        return "\n".join([f"@{self.kind}{{{key},", *lines, "}"])


def _article(label, author, title, journal, year, volume, pages, doi=None):
    names = ("author", "title", "journal", "year", "volume", "pages", "doi")
    values = (author, title, journal, str(year), str(volume), str(pages), doi)
    return Reference(label, "article", {name: value for name, value in zip(names, values, strict=True) if value})


REFERENCES = {
    "astropy2022": _article(
        "Astropy Collaboration 2022", "{Astropy Collaboration} and Price-Whelan, A. M. and others",
        "{The Astropy Project: Sustaining and Growing a Community-oriented Open-source Project}",
        "The Astrophysical Journal", 2022, 935, 167, "10.3847/1538-4357/ac7c74",
    ),
    "photutils": Reference(
        "Bradley et al.", "misc",
        {
            "author": "Bradley, Larry and Sip{\\H o}cz, Brigitta and Robitaille, Thomas and others",
            "title": "{astropy/photutils}", "publisher": "Zenodo", "doi": "10.5281/zenodo.596036",
        },
    ),
    "scikitlearn2011": _article(
        "Pedregosa et al. 2011", "Pedregosa, F. and Varoquaux, G. and Gramfort, A. and others",
        "{Scikit-learn: Machine Learning in Python}", "Journal of Machine Learning Research", 2011, 12, "2825--2830",
    ),
    "numba2015": Reference(
        "Lam et al. 2015", "inproceedings",
        {
            "author": "Lam, Siu Kwan and Pitrou, Antoine and Seibert, Stanley",
            "title": "{Numba: A LLVM-based Python JIT Compiler}",
            "booktitle": "Proceedings of the Second Workshop on the LLVM Compiler Infrastructure in HPC",
            "year": "2015", "doi": "10.1145/2833157.2833162",
        },
    ),
    "numpy2020": _article(
        "Harris et al. 2020", "Harris, C. R. and Millman, K. J. and van der Walt, S. J. and others",
        "{Array programming with NumPy}", "Nature", 2020, 585, "357--362", "10.1038/s41586-020-2649-2",
    ),
    "scipy2020": _article(
        "Virtanen et al. 2020", "Virtanen, P. and Gommers, R. and Oliphant, T. E. and others",
        "{SciPy 1.0: Fundamental Algorithms for Scientific Computing in Python}",
        "Nature Methods", 2020, 17, "261--272", "10.1038/s41592-019-0686-2",
    ),
    "kish1965": Reference(
        "Kish 1965", "book",
        {"author": "Kish, Leslie", "title": "{Survey Sampling}", "publisher": "Wiley", "address": "New York",
         "year": "1965"},
    ),
    "efron1979": _article(
        "Efron 1979", "Efron, B.", "{Bootstrap Methods: Another Look at the Jackknife}", "The Annals of Statistics",
        1979, 7, "1--26", "10.1214/aos/1176344552",
    ),
    "ojala2010": _article(
        "Ojala & Garriga 2010", "Ojala, Markus and Garriga, Gemma C.",
        "{Permutation Tests for Studying Classifier Performance}", "Journal of Machine Learning Research",
        2010, 11, "1833--1863",
    ),
    "hanley1982": _article(
        "Hanley & McNeil 1982", "Hanley, J. A. and McNeil, B. J.",
        "{The meaning and use of the area under a receiver operating characteristic (ROC) curve}", "Radiology",
        1982, 143, "29--36", "10.1148/radiology.143.1.7063747",
    ),
    "moffat1969": _article(
        "Moffat 1969", "Moffat, A. F. J.",
        "{A Theoretical Investigation of Focal Stellar Images in the Photographic Emulsion and Application to "
        "Photographic Photometry}", "Astronomy and Astrophysics", 1969, 3, "455--461",
    ),
    "kormann1994": _article(
        "Kormann et al. 1994", "Kormann, R. and Schneider, P. and Bartelmann, M.",
        "{Isothermal elliptical gravitational lens models}", "Astronomy and Astrophysics", 1994, 284, "285--299",
    ),
    "sersic1963": _article(
        "S\N{LATIN SMALL LETTER E WITH ACUTE}rsic 1963", "S{\\'e}rsic, J. L.",
        "{Influence of the atmospheric and instrumental dispersion on the brightness distribution in a galaxy}",
        "Bolet{\\'i}n de la Asociaci{\\'o}n Argentina de Astronom{\\'i}a", 1963, 6, "41--43",
    ),
}  # fmt: skip
