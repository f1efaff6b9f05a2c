//! A rollback as the user asked for it: a request goes in, an outcome comes out.
//!
//! Here is decided which way is taken, who carries the plan out, what may be lost, and what is tried when recorded SQL
//! does not lead back. Whoever asks sees it through an [`Operator`], and prints the outcome.

use rollback_core::Target;
use rollback_core::plan::Way;

use super::error::RollbackError;
use super::execute::{Order, RolledBack, execute};
use super::hand_over::{self, HandOver, HandedOver};
use super::prepare::{may_be_helped_by_django, prepare};
use super::prepared::{ExecutionOptions, PlanOptions, Prepared};
use super::steps::NoRunner;
use crate::actor::Actor;
use crate::cases::CaseError;
use crate::ports::{Database, Observer, Runner};

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The release to go back to.
    pub target: &'a Target,
    /// How the plan is made.
    pub plan: PlanOptions<'a>,
    /// How it is carried out. What may be lost is decided by `consent`.
    pub execution: ExecutionOptions,
    /// What may be lost.
    pub consent: Consent,
    /// Whether the plan is only made, and not carried out.
    pub is_preview: bool,
    /// Whether the user has named the only way that may be taken.
    pub has_fixed_way: bool,
    /// Whether a door with Django could take over.
    pub has_other_door: bool,
    /// Who asks.
    pub actor: &'a Actor,
}

/// What may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Any number of rows and values.
    Any,
    /// At most this many.
    AtMost(i64),
    /// None, unless a person says yes.
    Ask,
}

/// Who asked for the rollback: told before it begins, and asked where only a person can decide.
pub trait Operator {
    /// What can go wrong on either side.
    type Error: From<RollbackError>;

    /// The plan is about to be carried out.
    fn begins(&mut self, prepared: &Prepared) -> Result<(), Self::Error>;

    /// Asks a person whether this many rows and values may be lost. Fails with the number of a signal.
    fn accepts_loss(&mut self, rows: i64) -> Result<bool, i32>;

    /// Recorded SQL did not lead back, and everything was taken back: Django tries next.
    fn retries_by_django(&mut self, cause: &RollbackError);

    /// Lets an observer watch a plan while it is carried out.
    fn watch(
        &mut self,
        prepared: &Prepared,
        run: &mut dyn FnMut(&mut dyn Observer) -> Result<RolledBack, RollbackError>,
    ) -> Result<RolledBack, RollbackError>;
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The plan, which was asked for and no more.
    Preview(Prepared),
    /// The plan has blockers: nothing was changed.
    Blocked(Prepared),
    /// The database is at the target already.
    NothingToDo(Prepared),
    /// The database is back.
    Done(Prepared, RolledBack),
    /// The other door has to take over.
    HandOver(HandOver),
}

/// Goes back, or makes the plan for it.
pub fn attempt<O: Operator>(
    database: &mut dyn Database,
    mut runner: Option<&mut (dyn Runner + 'static)>,
    request: &Attempt<'_>,
    operator: &mut O,
) -> Result<Outcome, O::Error> {
    let prepared = plan(database, runner.as_deref_mut(), request)?;
    if is_for_other_door(&prepared, runner.is_some(), request) {
        return Ok(hand_over(database, prepared, request)?);
    }
    finish(database, runner, request, prepared, operator)
}

/// Goes back, or makes the plan for it, because the other door has asked for that. It fails if this door does not see the
/// same database.
pub fn attempt_for_other_door<O: Operator>(
    database: &mut dyn Database,
    mut runner: Option<&mut (dyn Runner + 'static)>,
    request: &Attempt<'_>,
    handed_over: &HandedOver<'_>,
    operator: &mut O,
) -> Result<Outcome, O::Error> {
    let prepared = plan(database, runner.as_deref_mut(), request).map_err(|error| match error {
        RollbackError::Case(CaseError::Select(_)) => RollbackError::OtherDatabase,
        other => other,
    })?;
    handed_over.check(database, &prepared)?;
    finish(database, runner, request, prepared, operator)
}

fn plan(
    database: &mut dyn Database,
    runner: Option<&mut (dyn Runner + 'static)>,
    request: &Attempt<'_>,
) -> Result<Prepared, RollbackError> {
    let options = PlanOptions { require_runner: !request.has_other_door, ..request.plan };
    let prepared = prepare(database, request.target, runner, &options)?;
    if options.verify {
        prepared.check_verifiable()?;
    }
    Ok(prepared)
}

fn is_for_other_door(prepared: &Prepared, has_runner: bool, request: &Attempt<'_>) -> bool {
    let needs_django = prepared.plan.needs_python() && may_be_helped_by_django(&prepared.plan);
    needs_django && !has_runner && request.has_other_door
}

fn hand_over(
    database: &mut dyn Database,
    prepared: Prepared,
    request: &Attempt<'_>,
) -> Result<Outcome, RollbackError> {
    let token = match request.is_preview {
        true => None,
        false => Some(hand_over::write(database, &prepared, request.actor)?),
    };
    Ok(Outcome::HandOver(HandOver { prepared, token, without_sql: false }))
}

fn finish<O: Operator>(
    database: &mut dyn Database,
    mut runner: Option<&mut (dyn Runner + 'static)>,
    request: &Attempt<'_>,
    prepared: Prepared,
    operator: &mut O,
) -> Result<Outcome, O::Error> {
    if request.is_preview {
        return Ok(Outcome::Preview(prepared));
    }
    match carry_out(database, runner.as_deref_mut(), request, &prepared, operator)? {
        Carried::Ended(Ok(Some(done))) => Ok(Outcome::Done(prepared, done)),
        Carried::Ended(Ok(None)) => Ok(Outcome::NothingToDo(prepared)),
        Carried::Blocked => Ok(Outcome::Blocked(prepared)),
        Carried::Ended(Err(error)) if prepared.uses_sql() && error.may_be_due_to_sql() => {
            by_django(database, runner, request, error, operator)
        }
        Carried::Ended(Err(error)) => Err(error.into()),
    }
}

/// How carrying a plan out ended.
enum Carried {
    Blocked,
    /// With nothing to do, or done, or failed.
    Ended(Result<Option<RolledBack>, RollbackError>),
}

fn carry_out<O: Operator>(
    database: &mut dyn Database,
    runner: Option<&mut (dyn Runner + 'static)>,
    request: &Attempt<'_>,
    prepared: &Prepared,
    operator: &mut O,
) -> Result<Carried, O::Error> {
    if !prepared.plan.blockers.is_empty() {
        return Ok(Carried::Blocked);
    }
    if prepared.is_empty() {
        return Ok(Carried::Ended(Ok(None)));
    }
    operator.begins(prepared)?;
    let max_lost_rows = consent(request.consent, prepared, operator)?;
    let options = ExecutionOptions { max_lost_rows, ..request.execution };
    let order = Order { prepared, actor: request.actor, options: &options };
    let mut without_django = NoRunner;
    let runner: &mut dyn Runner = match runner {
        Some(runner) => runner,
        None => &mut without_django,
    };
    let ended = operator.watch(prepared, &mut |observer| execute(database, runner, &order, observer));
    Ok(Carried::Ended(ended.map(Some)))
}

/// How many rows and values may be lost; `None` for any number.
fn consent<O: Operator>(
    consent: Consent,
    prepared: &Prepared,
    operator: &mut O,
) -> Result<Option<i64>, RollbackError> {
    let rows = prepared.lost_rows();
    match consent {
        Consent::Any => Ok(None),
        Consent::AtMost(limit) => Ok(Some(limit)),
        Consent::Ask if rows == 0 => Ok(Some(0)),
        Consent::Ask => match operator.accepts_loss(rows).map_err(RollbackError::interrupted)? {
            true => Ok(None),
            false => Err(RollbackError::Declined),
        },
    }
}

/// Recorded SQL did not lead back, and everything was taken back: the same again by Django's own way, here or through the
/// other door. If there is neither, the first error stands.
fn by_django<O: Operator>(
    database: &mut dyn Database,
    mut runner: Option<&mut (dyn Runner + 'static)>,
    request: &Attempt<'_>,
    error: RollbackError,
    operator: &mut O,
) -> Result<Outcome, O::Error> {
    let is_possible = runner.is_some() || request.has_other_door;
    if request.has_fixed_way || !is_possible {
        return Err(error.into());
    }
    let ways: Vec<Way> = request.plan.ways.iter().copied().filter(|way| *way != Way::Sql).collect();
    let request = Attempt { plan: PlanOptions { ways: &ways, ..request.plan }, ..*request };
    let again = plan(database, runner.as_deref_mut(), &request)?;
    if !again.plan.blockers.is_empty() {
        return Err(error.into());
    }
    operator.retries_by_django(&error);
    if runner.is_none() {
        let outcome = hand_over(database, again, &request)?;
        return Ok(match outcome {
            Outcome::HandOver(hand_over) => Outcome::HandOver(HandOver { without_sql: true, ..hand_over }),
            other => other,
        });
    }
    finish(database, runner, &request, again, operator)
}
