"""Models of lenstronomy: which there are, and where each of their parameters comes from."""

import importlib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gen5astro.errors import ConfigError, closest

__all__ = ["LENS_PARAMETERS", "SOURCE_PARAMETERS", "Models", "Parameter", "load_models"]


@dataclass(frozen=True)
class Parameter:
    """Where a model's parameter comes from unless the configuration gives it.

    Parameters
    ----------
    columns : tuple of str
        Columns of the catalog that it is made of; none for a constant.
    value : callable
        ``value(*columns)``; by default the column itself.
    shared : bool
        Whether every model that has the parameter gets it; else the first that has it, and others have to be given one.
    """

    columns: tuple[str, ...]
    value: Callable = float
    shared: bool = False


def _axis_ratio(e1, e2):
    return (1 - math.hypot(e1, e2)) / (1 + math.hypot(e1, e2))


def _angle(e1, e2):
    return 0.5 * math.atan2(e2, e1)


def _shapes(prefix):
    both = (f"{prefix}_e1", f"{prefix}_e2")
    single = {"e1": Parameter(both[:1]), "e2": Parameter(both[1:])}
    return single | {"q": Parameter(both, _axis_ratio), "phi": Parameter(both, _angle)}


LENS_PARAMETERS = {
    "theta_E": Parameter(("theta_e_arcsec",)),
    **_shapes("lens"),
    "gamma": Parameter((), lambda: 2.0, shared=True),
    "gamma1": Parameter(("gamma1",)),
    "gamma2": Parameter(("gamma2",)),
    "gamma_ext": Parameter(("gamma1", "gamma2"), math.hypot),
    "psi_ext": Parameter(("gamma1", "gamma2"), _angle),
    "center_x": Parameter((), lambda: 0.0, shared=True),
    "center_y": Parameter((), lambda: 0.0, shared=True),
}
"""Parameters of lenstronomy's lens models that are drawn; a power law is isothermal unless `lens_kwargs` says more."""

SOURCE_PARAMETERS = {
    "amp": Parameter((), lambda: 1.0),
    "R_sersic": Parameter(("source_radius_arcsec",)),
    "n_sersic": Parameter(("source_index",)),
    **_shapes("source"),
    "center_x": Parameter(("source_x",), shared=True),
    "center_y": Parameter(("source_y",), shared=True),
}
"""Parameters of its light models that are drawn; ``amp`` is then scaled to the source's magnitude."""


@dataclass(frozen=True)
class Models:
    """Lens models, or source models, that act together.

    Parameters
    ----------
    model : object
        lenstronomy's ``LensModel`` or ``LightModel``.
    plans : tuple of dict
        Of each model, parameter to `Parameter` or to the value that is given.
    fixed : dict of str to float
        Columns that hold a value of the configuration instead of what is drawn.
    """

    model: object
    plans: tuple[dict, ...]
    fixed: dict

    @property
    def columns(self):
        """Columns that parameters are made of."""
        found = (name for plan in self.plans for each in plan.values() for name in getattr(each, "columns", ()))
        return tuple(dict.fromkeys(found))

    def keywords(self, one):
        """Make the list of keyword arguments that lenstronomy takes.

        Parameters
        ----------
        one : mapping of str to float
            One injection.

        Returns
        -------
        keywords : list of dict
            A dict a model.
        """
        return [{name: _value(each, one) for name, each in plan.items()} for plan in self.plans]


def _value(each, one):
    return each.value(*(float(one[name]) for name in each.columns)) if isinstance(each, Parameter) else each


def load_models(config):
    """Load the configured models and settle where their parameters come from.

    Parameters
    ----------
    config : gen5astro.config.InjectConfig
        Keys ``lens_model, source_model, lens_kwargs, source_kwargs``.

    Returns
    -------
    lens, source : Models
        The lens and the source.

    Raises
    ------
    ConfigError
        If lenstronomy is not installed, a model is unknown or cannot be used, or a parameter is given by nobody.
    """
    lenses = _import("LensModel.profile_list_base")._SUPPORTED_MODELS
    lights = _import("LightModel.light_model_base")._MODELS_SUPPORTED
    lens = _Kind("lens", config.lens_model, config.lens_kwargs, LENS_PARAMETERS)
    source = _Kind("source", config.source_model, config.source_kwargs, SOURCE_PARAMETERS)
    return (
        lens.resolve(lenses, _import("LensModel.lens_model").LensModel, "derivatives"),
        source.resolve(lights, _import("LightModel.light_model").LightModel, "function"),
    )


def _import(module):
    try:
        return importlib.import_module(f"lenstronomy.{module}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "inject.engine lenstronomy",
            got=f"no module {error.name!r}",
            expected="an installed lenstronomy",
            remedy="pip install 'gen5astro[lenstronomy]'",
        ) from error


@dataclass(frozen=True)
class _Kind:
    """Lens or source: what was asked for, what is given, and what is drawn."""

    label: str
    names: tuple[str, ...]
    given: dict
    drawn: dict[str, Parameter]

    def resolve(self, known, make, method):
        for name in self.names:
            if name not in known:
                expected, remedy = "a model of lenstronomy", closest(name, known)
                raise ConfigError(f"inject.{self.label}_model", got=repr(name), expected=expected, remedy=remedy)
        try:
            model = make(list(self.names))
            profiles = getattr(model, "func_list", None) or model.lens_model.func_list
            signatures = [_parameters(profile, method) for profile in profiles]
        except Exception as error:
            what = f"inject.{self.label}_model {','.join(self.names)}"
            raise ConfigError(what, got=f"{error}", expected="models that need nothing but numbers") from error
        self._check_given(signatures)
        plans, fixed = self._plan(signatures)
        return Models(model, plans, fixed)

    def _plan(self, signatures):
        plans, fixed, taken = [], {}, set()
        for place, name, signature in zip(self._places(), self.names, signatures, strict=True):
            loose = {key: value for key, value in self.given.items() if key in signature and not self._gone(key, taken)}
            given = loose | self.given.get(name, {}) | self.given.get(place, {})
            plan = {}
            for parameter, needed in signature.items():
                drawn = self.drawn.get(parameter)
                if drawn is not None and parameter not in taken:
                    plan[parameter] = drawn
                    if parameter in given:
                        self._replace(parameter, drawn, given[parameter], plan, fixed)
                elif parameter in given:
                    plan[parameter] = _plain(given[parameter])
                elif drawn is not None and drawn.shared:
                    plan[parameter] = drawn
                elif needed:
                    raise self._missing(parameter, name, place)
            plans.append(plan)
            taken |= set(signature)
        return tuple(plans), fixed

    def _places(self):
        return [str(place) for place in range(1, len(self.names) + 1)]

    def _gone(self, parameter, taken):
        """Whether a value for any model has gone to an earlier one, as a drawn one would have."""
        return parameter in taken and parameter in self.drawn and self.drawn[parameter].columns != ()

    def _replace(self, parameter, drawn, value, plan, fixed):
        """Put a given value in the place of what is drawn: its column has to hold it."""
        if not drawn.columns:
            plan[parameter] = _plain(value)
        elif drawn.value is float:
            fixed[drawn.columns[0]] = float(value)
        else:
            raise ConfigError(
                f"inject.{self.label}_kwargs.{parameter}",
                got=value,
                expected=f"no value: it follows from {' and '.join(drawn.columns)}",
                remedy="choose a model that has the components as parameters",
            )

    def _missing(self, parameter, name, place):
        twice = parameter in self.drawn
        key = f"{place}.{parameter}" if twice else parameter
        return ConfigError(
            f"{self.label} model {name}",
            got=f"no value for its parameter {parameter!r}{', which an earlier model gets' if twice else ''}",
            expected="one that is drawn or given",
            remedy=f"give it: --set inject.{self.label}_kwargs.{key}=VALUE",
        )

    def _check_given(self, signatures):
        """Refuse a key that means nothing to any model."""
        everything = {each for signature in signatures for each in signature}
        addresses = [*zip(self._places(), signatures, strict=True), *zip(self.names, signatures, strict=True)]
        for key, value in self.given.items():
            if not isinstance(value, dict):
                self._check_known(key, key, everything)
                continue
            self._check_known(key, key, dict(addresses))
            chosen = {each for address, signature in addresses if address == key for each in signature}
            for each in value:
                self._check_known(f"{key}.{each}", each, chosen)

    def _check_known(self, key, name, known):
        if name not in known:
            what, expected = f"inject.{self.label}_kwargs.{key}", f"a parameter of {','.join(self.names)}"
            raise ConfigError(what, got="no such name", expected=expected, remedy=closest(name, known))


def _parameters(profile, method):
    """Parameters of a profile, and whether each has to be given."""
    signature = inspect.signature(getattr(profile, method)).parameters
    plain = {name: each for name, each in signature.items() if each.kind is each.POSITIONAL_OR_KEYWORD}
    missing = (inspect.Parameter.empty, None)
    return {
        name: name in profile.param_names and any(each.default is none for none in missing)
        for name, each in plain.items()
        if name not in ("x", "y")
    }


def _plain(value):
    return np.asarray(value, dtype=float) if isinstance(value, (list, tuple)) else value
