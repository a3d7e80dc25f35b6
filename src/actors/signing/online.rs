//! Not there yet.

use jiff::Timestamp;

use super::{Decision, State};
use crate::task::ForceOnline;

/// Refuses it.
pub(super) fn decide(_: &State, _: &ForceOnline, now: Timestamp) -> Decision {
    Decision::refused("force_online_metadata_update", "it is not there yet", now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        actors::signing::delegating::Scene,
        tuf::{
            bins::Layout,
            sample::{at, role},
        },
    };

    fn run(scene: &Scene, roles: &[&str]) -> Decision {
        let roles = roles.iter().map(|&name| name.to_owned()).collect();
        decide(&scene.state, &ForceOnline { roles }, at(0))
    }

    fn updated(scene: &Scene, roles: &[&str]) -> serde_json::Value {
        let decision = run(scene, roles);
        assert_eq!((decision.outcome.status, decision.end), (true, End::Visible), "{:?}", decision.outcome);
        assert_eq!(decision.outcome.message, "Force new online metadata update succeeded");
        decision.outcome.details.expect("details")["updated_roles"].clone()
    }

    fn error(scene: &Scene, roles: &[&str]) -> String {
        let refused = run(scene, roles);
        assert_eq!((refused.outcome.status, &refused.change.due), (false, &Due::None));
        assert_eq!(refused.outcome.message, "Force new online metadata update failed");
        refused.outcome.error.expect("an error")
    }

    #[test]
    fn what_lists_a_role_is_published_with_it() {
        let scene = Scene::new(Some(Layout::Succinct));
        assert_eq!(updated(&scene, &["timestamp"]), json!(["timestamp"]));
        assert_eq!(updated(&scene, &["snapshot"]), json!(["snapshot", "timestamp"]));
        assert_eq!(updated(&scene, &["targets"]), json!(["snapshot", "timestamp", "targets"]));
        assert_eq!(updated(&scene, &["bins", "timestamp"]), json!(["snapshot", "timestamp", "bins"]));
        assert_eq!(updated(&scene, &[]), json!(["snapshot", "timestamp", "targets", "bins"]));
        assert_eq!(run(&scene, &[]).change.due, Due::All);
        let bins = (0..4).map(|bin| role(&format!("bins-{bin}"))).collect();
        assert_eq!(run(&scene, &["bins"]).change.due, Due::Roles(bins));
    }

    #[test]
    fn custom_roles_are_published_by_name() {
        let scene = Scene::new(None).with("a", Signing::Online, 1, &["a"]).with("b", Signing::Offline, 2, &["b"]);
        assert_eq!(updated(&scene, &["a"]), json!(["snapshot", "timestamp", "a"]));
        assert_eq!(updated(&scene, &[]), json!(["snapshot", "timestamp", "targets", "a"]));
        assert!(error(&scene, &["a", "b"]).starts_with("b is signed by people"));
        assert_eq!(error(&scene, &["bins"]), "Custom target delegation used and bins cannot be bumped");
        assert_eq!(error(&scene, &["x"]), "x is no role of this repository");
    }

    #[test]
    fn what_can_not_be_published_refuses_all() {
        let mut scene = Scene::new(Some(Layout::Succinct));
        assert!(error(&scene, &["timestamp", "root"]).starts_with("Root is signed by people"));
        assert!(error(&scene, &["bins-0"]).ends_with("roles can be bumped: not bins-0"));
        let root = crate::tuf::sample::root(1, &[&scene.ann], 1, &scene.online);
        let root = crate::tuf::sample::sign(root, &[&scene.ann]).to_bytes();
        scene.state.repository.as_mut().expect("a repository").root = root;
        assert_eq!(error(&scene, &["targets"]), "Targets is an offline role - use other endpoint to update");
        assert_eq!(updated(&scene, &[]), json!(["snapshot", "timestamp", "bins"]));
        scene.state.repository = None;
        assert_eq!(error(&scene, &[]), "New metadata updates requre completed bootstrap");
    }
}
