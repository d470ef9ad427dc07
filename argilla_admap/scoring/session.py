"""What the scorers of one run share: the store, the locks, the budget, and a client for each address."""

from __future__ import annotations

from collections.abc import Callable

from argilla_admap.errors import InputError
from argilla_admap.scoring.batch.ledger import waiting_in_batches
from argilla_admap.scoring.cache.keys import KeySpace
from argilla_admap.scoring.cache.locks import KeyLocks
from argilla_admap.scoring.cache.store import Store
from argilla_admap.scoring.client.budget import Budget, find_price
from argilla_admap.scoring.client.concurrency import Throttle
from argilla_admap.scoring.client.dispatcher import Dispatcher
from argilla_admap.scoring.client.transport import Client, endpoint_name, is_local, make_client, open_transport
from argilla_admap.scoring.options import ScoreOptions

__all__ = ["Session"]


class Session:
    """Opens what a run needs when it is first asked for. Lives on one event loop.

    Args:
        options: of the run.
        client: the user's own; None: made from the options and the environment.
        dry: nothing is asked or written: a store that is not there is not made.
        warn: takes a sentence for the person.
        store, budget: those that other processes have a part in; None: of this run alone.
        share: the part of the limits a minute that is this process's own, in (0, 1].
    """

    def __init__(
        self,
        options: ScoreOptions,
        client: Client | None = None,
        *,
        dry: bool = False,
        warn: Callable[[str], None] | None = None,
        store: Store | None = None,
        budget: Budget | None = None,
        share: float = 1.0,
    ) -> None:
        self._dry = dry
        self._options = options
        self._client = client
        self._warn = warn
        self._store = store
        self._share = share
        self._locks: KeyLocks | None = None
        self.budget = budget if budget is not None else Budget(options.max_cost)
        self.dispatchers: dict[tuple[str, str], Dispatcher] = {}

    @property
    def store(self) -> Store:
        """The judgement store."""
        if self._store is None:
            self._store = Store(self._options.store, create=not self._dry)
        return self._store

    def dispatcher(self, model: str, base_url: str | None = None, *, side: bool = False) -> Dispatcher:
        """The way to a model, one object for each address and model.

        Args:
            model: as the server calls it.
            base_url: another server than the run's own.
            side: a model beside the judge (embeddings, rewards): asked at once even when the judge is asked by batches, and
                not counted against `max_cost` where no price is known.

        Raises:
            InputError: no key; or `max_cost` with a model that has no known price.
        """
        options = self._options
        own = self._client if base_url is None else None
        client = own or make_client(base_url or options.base_url, needs_key=not self._dry)
        name = f"{endpoint_name(client)} {model}"
        found = self.dispatchers.get((name, model))
        if found is not None:
            return found
        price = find_price(model, options.price, options.service_tier)
        if price is None and options.max_cost is not None and not side:
            raise InputError(
                f"{options.max_cost:g}: no price is listed for the model {model!r}, so its cost cannot be kept below it",
                option="max_cost",
                hint="give US dollars a million tokens, in and out, with `price`; 0,0 for a server of your own",
            )
        if self._locks is None:
            store = self.store
            self._locks = KeyLocks(store.path)
        shared = (
            open_transport(client, model),
            self.store,
            self._locks,
            self.budget,
            price,
            Throttle(options.rpm, options.tpm, options.concurrency, local=is_local(client), share=self._share),
            options.timeout if options.service_tier != "flex" else max(options.timeout, 900.0),
            name,
        )
        if options.batch and not side:
            from argilla_admap.scoring.batch.batches import BatchDispatcher

            dispatcher: Dispatcher = BatchDispatcher(*shared, client=client)
        elif self._beside_batches() and not side:
            from argilla_admap.scoring.batch.batches import DispatcherBesideBatches

            dispatcher = DispatcherBesideBatches(*shared, client=client)
        else:
            dispatcher = Dispatcher(*shared)
        dispatcher.say = self._warn or dispatcher.say
        if not side:
            # The keys of what is asked at the side have always held its address.
            dispatcher.key_space = self.store.key_space(name)
            self._tell(name, dispatcher.key_space)
        self.dispatchers[(name, model)] = dispatcher
        return dispatcher

    def use_share(self, share: float) -> None:
        """Another part of the limits a minute is this process's own from now on."""
        if share != self._share:
            self._share = share
            for dispatcher in self.dispatchers.values():
                dispatcher.use_share(share)

    def _tell(self, name: str, space: KeySpace) -> None:
        """Says once for a store which of its older answers count for an endpoint."""
        if space.note is not None and self._warn is not None:
            self._warn(space.note)
            if not self._dry:
                self.store.remember_said(name, space.note)

    def _beside_batches(self) -> bool:
        return not (self._dry or self._options.ask_waiting) and any(waiting_in_batches(self.store.path))

    async def look_at_batches(self, warn: Callable[[str], None]) -> None:
        """For a run that does not ask by batches: what is in batches of other runs is taken from there, or said to wait."""
        if self._options.batch or not self.dispatchers:
            return
        waiting, _ = waiting_in_batches(self.store.path)
        if waiting and self._options.ask_waiting:
            warn(f"{waiting:,} judgements wait in batches; those of them that this run asks too are paid for twice")
        from argilla_admap.scoring.batch.batches import DispatcherBesideBatches

        beside = [dispatcher for dispatcher in self.dispatchers.values() if isinstance(dispatcher, DispatcherBesideBatches)]
        for dispatcher in beside:
            await dispatcher.collect(warn)
        waiting, _ = waiting_in_batches(self.store.path)
        if beside and waiting:
            warn(
                f"{waiting:,} judgements wait in batches and are not asked, and paid, again: to take them in, run the command "
                "that submitted them (with `batch`)"
            )

    async def close(self) -> None:
        """Waits a little for what is in flight, writes it, and closes."""
        try:
            for dispatcher in self.dispatchers.values():
                await dispatcher.close()
        finally:
            if self._store is not None:
                self._store.close()
            if self._locks is not None:
                self._locks.close()
