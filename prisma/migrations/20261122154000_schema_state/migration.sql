-- What the api asks to find out whether the database is of its own age: names of migrations that are finished. Of the book itself, which is
-- the owner's, it sees nothing else. plpgsql: the book need not be there when this is made (a tool may apply the files without one).
CREATE FUNCTION applied_migrations() RETURNS text[] LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
  RETURN ARRAY(SELECT migration_name::text FROM public._prisma_migrations
                WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY 1);
END $$;
REVOKE EXECUTE ON FUNCTION applied_migrations() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION applied_migrations() TO moorage_app;
