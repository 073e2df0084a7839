//! How the deployment is, for `serverStatus` and `currentOp`.

use argon_mql::{DocBuf, ValueRef};

use super::Passthrough;

impl Passthrough {
    /// Appends a field `upstream`: whether commands get through, and what is wrong if they do not.
    pub(crate) fn describe(&self, out: &mut DocBuf) {
        let status = self.upstream.status();
        let open = out.open_document("upstream");
        out.append("healthy", ValueRef::Bool(status.healthy));
        if !status.healthy {
            out.append("problem", ValueRef::String(status.summary.as_str().into()));
        }
        out.append(
            "topology",
            ValueRef::String(status.topology.as_str().into()),
        );
        let new = self.new_databases.to_string();
        out.append("newDatabases", ValueRef::String(new.as_str().into()));
        let count = |count: usize| ValueRef::Int64(i64::try_from(count).unwrap_or(i64::MAX));
        out.append("pinnedCursors", count(status.cursors));
        let servers = out.open_array("servers");
        for (index, server) in status.servers.iter().enumerate() {
            let mut doc = DocBuf::new();
            doc.append("address", ValueRef::String(server.address.as_str().into()));
            doc.append("type", ValueRef::String(server.kind.as_str().into()));
            doc.append("connections", ValueRef::Int64(server.connections.into()));
            doc.append("idleConnections", count(server.idle));
            if let Some(error) = &server.error {
                doc.append("error", ValueRef::String(error.as_str().into()));
            }
            let doc = doc.finish();
            out.push(index, ValueRef::Document(argon_mql::Doc::new(&doc)));
        }
        out.close(servers);
        out.close(open);
    }
}
