//! What the catalog must not contain: a connection of the login in, a finding for each hole out.
//!
//! Each query gives what was found and the SQL that mends it, with names quoted by Postgres itself. What no SQL can mend is a
//! line that begins with `--`.

use sqlx::PgConnection;

use super::Finding;
use crate::postgres::error::DatabaseError;

/// One thing to look for.
struct Check {
    /// What is wrong; `{}` stands for what was found.
    what: &'static str,
    sql: &'static str,
    /// True when it is a hole with an application's own login as well, which owns the tables.
    own: bool,
}

/// A query over what all of them need. `me` is the login, `reach` are the roles that the login is or may become, `ours` the five of the server,
/// `kept` the tables of the schema, `readers` what reads them through rules, at any depth, and `held` who was granted what,
/// columns included.
macro_rules! look {
    ($sql:literal) => {
        concat!(
            "WITH RECURSIVE me AS (SELECT oid FROM pg_roles WHERE rolname = session_user),
             reach AS (
                 SELECT oid, rolname FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')),
             ours AS (
                 SELECT oid, rolname FROM pg_roles
                 WHERE rolname IN ('rag_tenant', 'rag_writer', 'rag_resolver', 'rag_owner', 'rag_jobs')),
             kept AS (
                 SELECT c.oid, c.relname, c.relkind, c.relispartition, c.relowner, c.relrowsecurity, c.relforcerowsecurity
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = 'rag_tower' AND c.relkind IN ('r', 'p') AND c.relname <> '_migrations'),
             owners (oid) AS (
                 SELECT relowner FROM kept UNION SELECT nspowner FROM pg_namespace WHERE nspname = 'rag_tower'),
             readers (oid) AS (
                 SELECT oid FROM kept
                 UNION
                 SELECT w.ev_class FROM readers r
                 JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid
                                 AND d.classid = 'pg_rewrite'::regclass
                 JOIN pg_rewrite w ON w.oid = d.objid),
             held (rel, grantee, privilege) AS (
                 SELECT c.oid, a.grantee, a.privilege_type
                 FROM pg_class c, aclexplode(CASE WHEN c.relkind IN ('r', 'p', 'S') THEN c.relacl
                                                  ELSE coalesce(c.relacl, acldefault('r', c.relowner)) END) a
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
                   AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
                 UNION ALL
                 SELECT t.attrelid, a.grantee, a.privilege_type
                 FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attacl IS NOT NULL),
             reached (rel, who) AS (
                 SELECT h.rel, string_agg(DISTINCT CASE h.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END, ', ')
                 FROM held h LEFT JOIN reach r ON r.oid = h.grantee
                 WHERE h.grantee = 0 OR r.oid IS NOT NULL GROUP BY h.rel)
             ",
            $sql
        )
    };
}

/// Who the login is. Whatever else is found with a superuser follows from that one.
const SUPERUSER: Check = Check {
    what: "the login {} is a superuser, whom row-level security does not bind",
    sql: "SELECT rolname::text, '-- use a login of its own: CREATE ROLE rag_app LOGIN NOINHERIT PASSWORD ''…''; '
              || 'GRANT rag_tenant, rag_writer, rag_resolver, rag_owner, rag_jobs TO rag_app; and put it into DATABASE_URL'
          FROM pg_roles WHERE rolname = session_user AND rolsuper",
    own: false,
};

const CHECKS: &[Check] = &[
    Check {
        what: "role {} is a superuser or bypasses row-level security",
        sql: look!(
            "SELECT r.rolname::text, CASE WHEN r.rolname = session_user OR o.oid IS NOT NULL
                        THEN format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS', r.rolname)
                        ELSE (SELECT string_agg(format('REVOKE %I FROM %I', r.rolname, m.rolname), '; ')
                              FROM pg_auth_members a JOIN reach m ON m.oid = a.member WHERE a.roleid = r.oid) END
             FROM pg_roles r LEFT JOIN ours o ON o.oid = r.oid
             WHERE (r.rolsuper OR r.rolbypassrls) AND (o.oid IS NOT NULL OR r.oid IN (SELECT oid FROM reach))"
        ),
        own: false,
    },
    Check {
        what: "role {} may do more than it should: it makes roles, replicates, or is one of ours and logs in",
        sql: look!(
            "SELECT r.rolname::text, format('ALTER ROLE %I NOCREATEROLE NOREPLICATION%s', r.rolname,
                        CASE WHEN o.oid IS NOT NULL THEN ' NOLOGIN' END)
             FROM pg_roles r LEFT JOIN ours o ON o.oid = r.oid
             WHERE (o.oid IS NOT NULL OR r.rolname = session_user)
               AND (r.rolcreaterole OR r.rolreplication OR o.oid IS NOT NULL AND r.rolcanlogin)"
        ),
        own: false,
    },
    Check {
        what: "the login may not become {}",
        sql: "SELECT r.name, CASE WHEN p.oid IS NULL THEN '-- run `rag-tower-owner migrate` with DATABASE_ADMIN_URL'
                                  ELSE format('GRANT %I TO %I', r.name, session_user) END
              FROM unnest(ARRAY['rag_tenant', 'rag_writer', 'rag_resolver', 'rag_owner', 'rag_jobs']) AS r (name)
              LEFT JOIN pg_roles p ON p.rolname = r.name
              WHERE p.oid IS NULL OR NOT pg_has_role(session_user, p.oid, 'MEMBER')",
        own: false,
    },
    Check {
        // without a role it must see nothing: that is what makes a forgotten role harmless
        what: "the login has the rights of {} without becoming it",
        sql: look!(
            "SELECT string_agg(o.rolname, ', ' ORDER BY o.rolname),
                    CASE WHEN current_setting('server_version_num')::int < 160000
                         THEN format('ALTER ROLE %I NOINHERIT', session_user)
                         ELSE string_agg(format('GRANT %I TO %I WITH INHERIT FALSE', o.rolname, session_user), '; ') END
             FROM ours o WHERE pg_has_role(session_user, o.oid, 'USAGE') HAVING count(*) > 0"
        ),
        own: false,
    },
    Check {
        what: "{}, which owns tables of ours and could switch their protection off; only DATABASE_ADMIN_URL is for it",
        sql: look!(
            "SELECT format('the login may become %s, as %s may', g.rolname, m.rolname),
                    format('REVOKE %I FROM %I', g.rolname, m.rolname)
             FROM pg_auth_members a JOIN reach m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid
             WHERE g.oid IN (SELECT oid FROM owners)
             UNION ALL
             SELECT format('the login is %s', session_user), coalesce(
                 (SELECT string_agg(format('ALTER TABLE rag_tower.%I OWNER TO %I', k.relname, s.rolname), '; ')
                  FROM kept k WHERE k.relowner = l.oid AND NOT k.relispartition),
                 '-- ' || 'use another login for DATABASE_URL')
             FROM pg_roles l JOIN pg_namespace n ON n.nspname = 'rag_tower' JOIN pg_roles s ON s.oid = n.nspowner
             WHERE l.rolname = session_user AND l.oid IN (SELECT oid FROM owners) AND s.oid <> l.oid
             UNION ALL
             SELECT format('the login is %s', session_user), '-- use another login for DATABASE_URL'
             FROM pg_namespace n WHERE n.nspname = 'rag_tower' AND n.nspowner = (SELECT oid FROM me)"
        ),
        own: false,
    },
    Check {
        what: "{}, and has what that one may do besides the policies that are its own",
        sql: look!(
            "SELECT format('%s is a member of %s', m.rolname, g.rolname), format('REVOKE %I FROM %I', g.rolname, m.rolname)
             FROM pg_auth_members a JOIN reach m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid
             WHERE g.rolname IN ('pg_read_all_data', 'pg_write_all_data', 'pg_execute_server_program',
                                 'pg_read_server_files', 'pg_write_server_files', 'pg_maintain', 'pg_create_subscription')
                OR m.oid IN (SELECT oid FROM ours) AND g.oid IN (SELECT oid FROM ours)"
        ),
        own: false,
    },
    Check {
        what: "a session begins with {}, which says who asks before anybody has asked",
        sql: look!(
            "SELECT format('%s set to %s for %s', split_part(s, '=', 1), split_part(s, '=', 2),
                           coalesce(r.rolname, 'every role')),
                    CASE WHEN r.oid IS NULL AND d.oid IS NULL THEN format('ALTER ROLE ALL RESET %s', split_part(s, '=', 1))
                         WHEN r.oid IS NULL THEN format('ALTER DATABASE %I RESET %s', d.datname, split_part(s, '=', 1))
                         WHEN d.oid IS NULL THEN format('ALTER ROLE %I RESET %s', r.rolname, split_part(s, '=', 1))
                         ELSE format('ALTER ROLE %I IN DATABASE %I RESET %s', r.rolname, d.datname, split_part(s, '=', 1))
                    END
             FROM pg_db_role_setting g CROSS JOIN unnest(g.setconfig) s
             LEFT JOIN pg_roles r ON r.oid = g.setrole LEFT JOIN pg_database d ON d.oid = g.setdatabase
             WHERE (g.setrole = 0 OR g.setrole IN (SELECT oid FROM reach))
               AND (g.setdatabase = 0 OR d.datname = current_database())
               AND (s ~* '^(rag[.]|role=|session_authorization=|session_replication_role=)' OR s ~* '^row_security=(off|false|no|0)$')"
        ),
        own: false,
    },
    Check {
        what: "a session begins with {}, which says who asks before anybody has asked",
        sql: look!(
            "SELECT name, '-- take it out of the options in DATABASE_URL, of PGOPTIONS, of the pooler or of postgresql.conf'
             FROM (SELECT 'row_security off' WHERE NOT current_setting('row_security')::boolean
                   UNION ALL SELECT 'a role' WHERE current_user <> session_user
                   UNION ALL SELECT s || ' set' FROM unnest(ARRAY['rag.tenant_id', 'rag.writer', 'rag.key_hash', 'rag.slug']) s
                             WHERE nullif(current_setting(s, true), '') IS NOT NULL) found (name)
             WHERE NOT EXISTS (SELECT FROM pg_db_role_setting g CROSS JOIN unnest(g.setconfig) s
                               WHERE (g.setrole = 0 OR g.setrole IN (SELECT oid FROM reach))
                                 AND g.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
                                 AND s ~* '^(rag[.]|role=|row_security=)')"
        ),
        own: false,
    },
    Check {
        what: "{} may put objects of its own into the schema rag_tower",
        sql: look!(
            "SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE r.rolname END,
                    format('REVOKE CREATE ON SCHEMA rag_tower FROM %s',
                           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END)
             FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) a LEFT JOIN reach r ON r.oid = a.grantee
             WHERE n.nspname = 'rag_tower' AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
               AND (a.grantee = 0 OR r.oid IS NOT NULL)"
        ),
        own: false,
    },
    Check {
        what: "table {} has no forced row-level security",
        sql: look!(
            "SELECT relname::text, format('ALTER TABLE rag_tower.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', relname)
             FROM kept WHERE NOT (relrowsecurity AND relforcerowsecurity)"
        ),
        own: true,
    },
    Check {
        what: "table {} has a tenant's column and no policy",
        sql: look!(
            "SELECT k.relname::text, format('CREATE POLICY tenant_isolation ON rag_tower.%1$I USING (%2$s) WITH CHECK (%2$s)',
                        k.relname, 'tenant_id = nullif(current_setting(''rag.tenant_id'', true), '''')::uuid')
             FROM kept k WHERE NOT k.relispartition
               AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = k.oid AND a.attname = 'tenant_id')
               AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = k.oid)"
        ),
        own: true,
    },
    Check {
        what: "partition {} can be reached past its parent",
        sql: look!(
            "SELECT k.relname::text, format('REVOKE ALL ON rag_tower.%I FROM %s', k.relname,
                        string_agg(DISTINCT CASE h.grantee WHEN 0 THEN 'PUBLIC' ELSE h.grantee::regrole::text END, ', '))
             FROM kept k JOIN held h ON h.rel = k.oid WHERE k.relispartition AND h.grantee <> k.relowner GROUP BY k.relname
             UNION ALL
             SELECT k.relname::text, format('DROP POLICY %I ON rag_tower.%I', p.polname, k.relname)
             FROM kept k JOIN pg_policy p ON p.polrelid = k.oid WHERE k.relispartition"
        ),
        own: true,
    },
    Check {
        what: "{} is granted to PUBLIC or to the login itself",
        sql: look!(
            "SELECT c.relname::text, format('REVOKE ALL ON rag_tower.%I FROM PUBLIC, %I', c.relname, session_user)
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN held h ON h.rel = c.oid
             WHERE n.nspname = 'rag_tower' AND NOT c.relispartition AND h.grantee <> c.relowner
               AND (h.grantee = 0 OR h.grantee = (SELECT oid FROM me))
             GROUP BY c.relname"
        ),
        own: true,
    },
    Check {
        // row-level security binds none of these
        what: "{}, which no policy binds",
        sql: look!(
            "SELECT format('%s may %s %s', r.rolname, string_agg(DISTINCT lower(h.privilege), ' and '), k.relname),
                    format('REVOKE TRUNCATE, REFERENCES, TRIGGER ON rag_tower.%I FROM %I', k.relname, r.rolname)
             FROM kept k JOIN held h ON h.rel = k.oid JOIN reach r ON r.oid = h.grantee
             WHERE h.privilege IN ('TRUNCATE', 'REFERENCES', 'TRIGGER') AND h.grantee <> k.relowner
             GROUP BY r.rolname, k.relname"
        ),
        own: false,
    },
    Check {
        // these three see all tenants' rows, and keys and numbers of them alone
        what: "{}, and its policies open all tenants' rows",
        sql: look!(
            "SELECT format('%s may read what people wrote in %s', o.rolname, k.relname),
                    CASE WHEN has_table_privilege(o.oid, k.oid, 'SELECT')
                         THEN format('REVOKE SELECT ON rag_tower.%I FROM %I', k.relname, o.rolname)
                              || coalesce((SELECT format('; GRANT SELECT (%s) ON rag_tower.%I TO %I',
                                                         string_agg(quote_ident(t.attname), ', '), k.relname, o.rolname)
                                           FROM pg_attribute t, aclexplode(t.attacl) a
                                           WHERE t.attrelid = k.oid AND a.grantee = o.oid AND a.privilege_type = 'SELECT'
                                           HAVING count(*) > 0), '')
                         ELSE format('REVOKE SELECT (%s) ON rag_tower.%I FROM %I',
                                     string_agg(quote_ident(f.attname), ', '), k.relname, o.rolname) END
             FROM kept k JOIN pg_attribute f ON f.attrelid = k.oid AND f.attnum > 0 AND NOT f.attisdropped
             CROSS JOIN ours o
             WHERE o.rolname IN ('rag_writer', 'rag_resolver', 'rag_jobs') AND NOT k.relispartition
               AND f.attname IN ('question', 'answer', 'error', 'search_text', 'sources', 'hits', 'tool_metadata', 'subject',
                                 'comment', 'phone', 'message', 'text', 'title', 'file_name', 'entity_memory',
                                 'rolling_summary', 'recent_messages_buffer')
               AND has_column_privilege(o.oid, k.oid, f.attnum, 'SELECT')
             GROUP BY k.oid, k.relname, o.oid, o.rolname"
        ),
        own: false,
    },
    Check {
        what: "tables that are yet to be made in rag_tower will be granted to {}",
        sql: look!(
            "SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE r.rolname END,
                    format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON TABLES FROM %s', o.rolname,
                           CASE WHEN n.oid IS NOT NULL THEN ' IN SCHEMA rag_tower' END,
                           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END)
             FROM pg_default_acl f CROSS JOIN aclexplode(f.defaclacl) a JOIN pg_roles o ON o.oid = f.defaclrole
             LEFT JOIN pg_namespace n ON n.oid = f.defaclnamespace LEFT JOIN reach r ON r.oid = a.grantee
             WHERE f.defaclobjtype = 'r' AND (f.defaclnamespace = 0 OR n.nspname = 'rag_tower')
               AND f.defaclrole IN (SELECT oid FROM owners) AND a.grantee <> f.defaclrole
               AND (a.grantee = 0 OR r.oid IS NOT NULL)
             GROUP BY a.grantee, r.rolname, o.rolname, n.oid"
        ),
        own: false,
    },
    Check {
        // in this schema none may be there; elsewhere it is one when we, or everybody, may use it
        what: "view {} reads tables of ours with its owner's rights",
        sql: look!(
            "SELECT c.oid::regclass::text,
                    CASE WHEN c.relkind = 'v' AND current_setting('server_version_num')::int >= 150000
                         THEN format('ALTER VIEW %s SET (security_invoker = true)', c.oid::regclass)
                         WHEN n.nspname = 'rag_tower'
                         THEN format('DROP %s %s', CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END, c.oid::regclass)
                         ELSE format('REVOKE ALL ON %s FROM %s', c.oid::regclass, h.who) END
             FROM readers v JOIN pg_class c ON c.oid = v.oid JOIN pg_namespace n ON n.oid = c.relnamespace
             LEFT JOIN reached h ON h.rel = c.oid
             WHERE c.relkind IN ('v', 'm')
               AND NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o
                               WHERE o.option_name = 'security_invoker' AND o.option_value::boolean)
               AND (n.nspname = 'rag_tower' OR h.who IS NOT NULL AND c.relowner <> (SELECT oid FROM me))"
        ),
        own: false,
    },
    Check {
        what: "rule {}, with the rights of its table's owner",
        sql: look!(
            "SELECT format('%s of %s writes or reads tables of ours', w.rulename, c.oid::regclass),
                    format('DROP RULE %I ON %s', w.rulename, c.oid::regclass)
             FROM readers v JOIN pg_class c ON c.oid = v.oid JOIN pg_rewrite w ON w.ev_class = c.oid
             LEFT JOIN reached h ON h.rel = c.oid
             WHERE (c.oid IN (SELECT oid FROM kept) OR c.relkind IN ('r', 'p', 'f') AND h.who IS NOT NULL)"
        ),
        own: false,
    },
    Check {
        what: "trigger {}, which sees every tenant's rows",
        sql: look!(
            "SELECT format('%s is on %s', t.tgname, k.relname), format('DROP TRIGGER %I ON rag_tower.%I', t.tgname, k.relname)
             FROM kept k JOIN pg_trigger t ON t.tgrelid = k.oid WHERE NOT t.tgisinternal AND t.tgparentid = 0"
        ),
        own: false,
    },
    Check {
        what: "function {} reaches tables of ours with its owner's rights",
        sql: look!(
            "SELECT p.oid::regprocedure::text,
                    CASE WHEN n.nspname = 'rag_tower' THEN format('ALTER ROUTINE %s SECURITY INVOKER', p.oid::regprocedure)
                         ELSE format('REVOKE ALL ON ROUTINE %s FROM %s', p.oid::regprocedure, e.who) END
             FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles o ON o.oid = p.proowner
             LEFT JOIN LATERAL (
                 SELECT string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END, ', ') AS who
                 FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a LEFT JOIN reach r ON r.oid = a.grantee
                 WHERE a.grantee = 0 OR r.oid IS NOT NULL) e ON true
             WHERE p.prosecdef AND CASE
                 WHEN n.nspname = 'rag_tower' THEN p.oid::regprocedure::text NOT IN (
                     'rag_tower.ensure_partitions(date,integer)', 'rag_tower.close_partitions(date,integer)',
                     'rag_tower.drop_partition(integer)',
                     'rag_tower.remove_demo(timestamp with time zone,timestamp with time zone,uuid,uuid)')
                 ELSE e.who IS NOT NULL AND p.proowner <> (SELECT oid FROM me)
                   AND (o.rolsuper OR o.rolbypassrls
                        OR EXISTS (SELECT FROM owners x WHERE pg_has_role(p.proowner, x.oid, 'USAGE'))
                        OR EXISTS (SELECT FROM ours x WHERE pg_has_role(p.proowner, x.oid, 'USAGE')))
                   AND (p.prosrc ~* 'rag_tower' OR array_to_string(p.proconfig, ' ') ~* 'rag_tower'
                        OR EXISTS (SELECT FROM pg_depend d JOIN readers v ON v.oid = d.refobjid
                                   WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                                     AND d.refclassid = 'pg_class'::regclass)
                        OR EXISTS (SELECT FROM readers v JOIN pg_class c ON c.oid = v.oid
                                   WHERE c.relkind IN ('v', 'm') AND c.relname ~ '^\\w+$'
                                     AND p.prosrc ~ ('\\m' || c.relname || '\\M'))) END"
        ),
        own: false,
    },
    Check {
        what: "foreign table {} reaches past row-level security",
        sql: look!(
            "SELECT c.oid::regclass::text, CASE WHEN n.nspname = 'rag_tower' THEN format('DROP FOREIGN TABLE %s', c.oid::regclass)
                        ELSE format('REVOKE ALL ON %s FROM %s', c.oid::regclass, h.who) END
             FROM pg_foreign_table f JOIN pg_class c ON c.oid = f.ftrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             LEFT JOIN reached h ON h.rel = c.oid
             WHERE n.nspname = 'rag_tower' OR h.who IS NOT NULL AND 'schema_name=rag_tower' = ANY (f.ftoptions)"
        ),
        own: false,
    },
    Check {
        what: "{}: who reads the one reads the other by its policies",
        sql: look!(
            "SELECT format('table %s inherits from %s', i.inhrelid::regclass, i.inhparent::regclass),
                    CASE WHEN c.relispartition
                         THEN format('ALTER TABLE %s DETACH PARTITION %s', i.inhparent::regclass, i.inhrelid::regclass)
                         ELSE format('ALTER TABLE %s NO INHERIT %s', i.inhrelid::regclass, i.inhparent::regclass) END
             FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             LEFT JOIN kept child ON child.oid = i.inhrelid LEFT JOIN kept parent ON parent.oid = i.inhparent
             WHERE (child.oid IS NOT NULL OR parent.oid IS NOT NULL)
               AND NOT (child.oid IS NOT NULL AND parent.oid IS NOT NULL AND c.relispartition)"
        ),
        own: false,
    },
    Check {
        what: "publication {} sends rows of all tenants elsewhere",
        sql: look!(
            "SELECT p.pubname::text,
                    CASE WHEN p.puballtables THEN format('DROP PUBLICATION %I', p.pubname)
                         WHEN bool_or(x.tables) THEN format('ALTER PUBLICATION %I DROP TABLE %s', p.pubname,
                             (SELECT string_agg(r.prrelid::regclass::text, ', ') FROM pg_publication_rel r
                              JOIN kept k ON k.oid = r.prrelid WHERE r.prpubid = p.oid))
                         ELSE format('ALTER PUBLICATION %I DROP TABLES IN SCHEMA rag_tower', p.pubname) END
             FROM pg_publication p CROSS JOIN LATERAL (
                 SELECT EXISTS (SELECT FROM pg_publication_rel r JOIN kept k ON k.oid = r.prrelid
                                WHERE r.prpubid = p.oid) AS tables) x
             WHERE x.tables OR EXISTS (SELECT FROM pg_publication_tables t
                                       WHERE t.pubname = p.pubname AND t.schemaname = 'rag_tower' AND t.tablename <> '_migrations')
             GROUP BY p.oid, p.pubname, p.puballtables"
        ),
        own: false,
    },
];

/// The one finding with a superuser, whom nothing that follows concerns.
pub(super) async fn superuser(connection: &mut PgConnection) -> Result<Vec<Finding>, DatabaseError> {
    SUPERUSER.look(connection).await
}

/// Looks for all else, as the server's login or as an application's own.
pub(super) async fn look(connection: &mut PgConnection, own: bool) -> Result<Vec<Finding>, DatabaseError> {
    let mut findings = Vec::new();
    for check in CHECKS.iter().filter(|check| check.own || !own) {
        findings.extend(check.look(connection).await?);
    }
    Ok(findings)
}

// === impl Check ===

impl Check {
    async fn look(&self, connection: &mut PgConnection) -> Result<Vec<Finding>, DatabaseError> {
        let found: Vec<(String, String)> = sqlx::query_as(self.sql).fetch_all(connection).await?;
        let finding =
            |(found, mend): (String, String)| Finding { what: self.what.replace("{}", &found), mend };
        Ok(found.into_iter().map(finding).collect())
    }
}
