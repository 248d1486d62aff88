"""Routes of the bulk view: pages of images that get one label."""

from __future__ import annotations

from collections import defaultdict

from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.label_values import SINGLE_LABEL
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.selection.page_groups import GroupRequest, PageGroups
from allencv_al.service.labeling import labeling_answers as answers
from allencv_al.service.labeling import labeling_messages as messages
from allencv_al.service.labeling.presenter import Presenter, number_of, optional_number
from allencv_al.service.labeling.requester import check_is_meant, current_annotator
from allencv_al.service.web.app import WebApp
from allencv_al.service.web.web_errors import WebError


class GroupRoutes:
    """The routes that hand out a page of images, label it, and undo that in one step.

    Args:
        store: The labeling.
        presenter: Of the labeling.
        groups: Of the labeling.
    """

    def __init__(self, store: LabelingStore, presenter: Presenter, groups: PageGroups) -> None:
        self._store = store
        self._presenter = presenter
        self._groups = groups

    def add(self, app: WebApp) -> None:
        """Add the routes to the application."""
        app.operation("POST", "/api/bulk/next", responses=(409,))(self.next_group)
        app.operation("POST", "/api/bulk/answers", responses=(409, 507))(self.answer)
        app.operation("POST", "/api/bulk/undo", responses=(409,))(self.undo)

        app.operation("GET", "/api/accept")(self.acceptable)
        app.operation("POST", "/api/accept", responses=(409,))(self.start_accepting)
        app.operation("POST", "/api/accept/check", responses=(409,))(self.check)
        app.operation("POST", "/api/accept/store", responses=(409, 507))(self.accept)
        app.operation("POST", "/api/accept/drop", responses=(409,))(self.drop)
        app.operation("POST", "/api/accept/undo", responses=(409,))(self.undo_accepted)

    def next_group(self, body: messages.GroupImagesRequest) -> answers.GroupImagesAnswer:
        """A page of images that belong together, leased to the caller."""
        self._check_takes_classes()
        denied = defaultdict(set)
        for one in body.denied:
            denied[number_of(one.item)].add(one.class_name)
        request = GroupRequest(
            body.count,
            body.by,
            body.text,
            body.class_name,
            optional_number(body.like),
            among=None if body.among is None else [number_of(item) for item in body.among],
            but=[number_of(item) for item in body.but],
            denied=denied,
            give_back=[number_of(item) for item in body.give_back],
        )
        found = self._groups.group(current_annotator(), request)
        return answers.GroupImagesAnswer(
            items=[self._presenter.image(item, expires) for item, expires in found.items],
            by=found.by,
            class_name=found.class_name,
            kinds=self._groups.kinds(),
        )

    def answer(self, body: messages.GroupAnswerRequest) -> answers.StoredGroup:
        """Store one label for a page of images; all are on the disk when this responds."""
        self._check_takes_classes()
        annotator = current_annotator()
        check_is_meant(self._store, body, annotator)
        label = LabelKind(body.kind), optional_number(body.class_id)
        labels = {number_of(named.item): label for named in body.items}
        found = self._store.answers.add_group(annotator, body.client_id, labels, body.seconds)
        return answers.StoredGroup(
            stored=len(found.stored),
            refused=[
                answers.RefusedImage(
                    item=f"i{number}", file_name=self._store.items.item(number).id, reason=reason
                )
                for number, reason in found.refused.items()
            ],
            progress=self._progress(annotator),
        )

    def undo(self, body: messages.GroupUndoRequest) -> answers.UndoneGroup:
        """Undo the labels of one page, and return its images."""
        annotator = current_annotator()
        # Of a thousand accepted predictions no page shows all
        items = self._store.answers.undo_group(annotator, body.client_id)[: messages.MOST_GROUPED]
        self._store.leases.hold(annotator, items)
        return answers.UndoneGroup(
            items=[self._presenter.image(self._store.items.item(number)) for number in items],
            progress=self._progress(annotator),
        )

    # -- Predictions that are accepted unseen ----------------------------------------------------

    def acceptable(self, query: messages.AcceptQuery) -> answers.AcceptAnswer:
        """The predictions that can be accepted, and those that are being checked."""
        above = None
        if query.threshold is not None and self._store.values.task_name == SINGLE_LABEL:
            above = len(self._groups.sure(current_annotator(), query.threshold))
        return answers.AcceptAnswer(above=above, current=self._current())

    def start_accepting(self, body: messages.AcceptStartRequest) -> answers.AcceptedAnswer:
        """Keep the predictions above a threshold, and draw a random sample to be labeled first."""
        self._check_takes_classes()
        annotator = current_annotator()
        predictions = self._groups.sure(annotator, body.threshold)
        self._store.acceptances.start(annotator, body.threshold, predictions, body.sample)
        return self._accepted(0)

    def check(self, body: messages.AcceptCheckRequest) -> answers.AcceptedAnswer:
        """Lease the images of the sample to the caller: they are the next ones to label."""
        items = self._store.acceptances.unchecked(body.id)
        give_back = [number_of(item) for item in body.give_back]
        taken = self._store.leases.take(current_annotator(), items, len(items), give_back)
        return self._accepted(len(taken))

    def accept(self, body: messages.AcceptRequest) -> answers.AcceptedAnswer:
        """Store predictions as labels, a thousand a request; 409 before the sample is labeled."""
        return self._accepted(self._store.acceptances.store(current_annotator(), body.id))

    def drop(self, body: messages.AcceptRequest) -> answers.AcceptedAnswer:
        """Store none of the predictions; the labels of the sample stay."""
        self._store.acceptances.drop(body.id)
        return self._accepted(0)

    def undo_accepted(self, body: messages.AcceptRequest) -> answers.AcceptedAnswer:
        """Undo the labels that came of predictions; those of the sample stay."""
        return self._accepted(self._store.acceptances.undo(current_annotator(), body.id))

    def _accepted(self, changed: int) -> answers.AcceptedAnswer:
        return answers.AcceptedAnswer(
            changed=changed, current=self._current(), progress=self._progress(current_annotator())
        )

    def _current(self) -> answers.AcceptanceAnswer | None:
        return self._presenter.acceptance(self._store.acceptances.newest())

    def _check_takes_classes(self) -> None:
        name = self._store.values.task_name
        if name != SINGLE_LABEL:
            raise WebError(409, "conflict", f"a page gives one class; labels here are of {name}")

    def _progress(self, annotator: str) -> answers.ProgressAnswer:
        return self._presenter.progress(self._store.items.batch(), annotator)
